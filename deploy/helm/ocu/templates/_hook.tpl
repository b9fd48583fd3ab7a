{{- define "ocu.hookResources" -}}
requests: {cpu: 50m, memory: 32Mi}
limits: {memory: 128Mi}
{{- end }}
