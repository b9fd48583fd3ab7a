{{- define "ocu.fullname" -}}
{{ .Values.fullname | default .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "ocu.pki" -}}
{{ .Values.pki.prefix | default (include "ocu.fullname" .) }}
{{- end }}

{{- /* The release: what selects all its pods. */ -}}
{{- define "ocu.release" -}}
app.kubernetes.io/name: ocu
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Call with (dict "root" $ "name" "gateway"). */ -}}
{{- define "ocu.selector" -}}
{{ include "ocu.release" .root }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "ocu.labels" -}}
{{ include "ocu.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- /* Call with (dict "root" $ "image" .Values.gateway.image). */ -}}
{{- define "ocu.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.image.registry }}{{ $repository = printf "%s/%s" . $repository }}{{ end -}}
{{- if .image.digest }}{{ printf "%s@%s" $repository .image.digest }}
{{- else }}{{ printf "%s:%s" $repository (.image.tag | default .root.Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "ocu.url" -}}
{{ printf "tls+tcp://%s-%s:%d" (include "ocu.fullname" .root) .name (int .port) }}
{{- end }}

{{- /* What no schema can say. */ -}}
{{- define "ocu.refuse" -}}
{{- $n := len .Values.compute.nodes -}}
{{- if ne $n 1 }}{{ fail (printf "compute.nodes names %d nodes: it must name exactly one. operatord of this version drives one sandboxd, one brokerd and one egressd; a second node would never get a session" $n) }}{{ end -}}
{{- if ne (.Values.operatord.config.profile | default "trusted_operator") "trusted_operator" }}{{ fail (printf "operatord.config.profile is %s: it permits no sandbox tier that this version has (runc); only trusted_operator does" .Values.operatord.config.profile) }}{{ end -}}
{{- if and (eq .Values.pki.source "certManager") (not .Values.pki.certManager.issuer) }}{{ fail "pki.source is certManager: name the issuer in pki.certManager.issuer" }}{{ end -}}
{{- with .Values.collector -}}
{{- if and .address (not .secret) }}{{ fail "collector.address is set: name the secret with the collector's ca.crt in collector.secret; there is no syslog without TLS" }}{{ end -}}
{{- if and .address (not .peers) }}{{ fail "collector.address is set: say in collector.peers where the collector is; auditd may connect to nothing else" }}{{ end -}}
{{- end -}}
{{- $sizes := dict "fullname" (include "ocu.fullname" .) "pki.prefix" (include "ocu.pki" .) -}}
{{- range $what, $name := $sizes }}{{ if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}{{ fail (printf "%s is %q: lower-case letters, digits and dashes, beginning with a letter" $what $name) }}{{ end }}{{ end -}}
{{- end }}
