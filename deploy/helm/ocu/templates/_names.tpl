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

{{- /* A daemon of one node: brokerd-b; brokerd on the node without a name. Objects are named by it and pods selected by it: the
selectors of a node without a name are what they were when there was one node, and select nothing of another. Call with
(dict "root" $ "name" "brokerd" "node" n), n an entry of compute.nodes or nothing. */ -}}
{{- define "ocu.part" -}}
{{ .name }}{{ with .node }}{{ with .name }}-{{ . }}{{ end }}{{ end }}
{{- end }}

{{- /* The parts of one daemon on all nodes, with commas. Call with (dict "root" $ "name" "brokerd"). */ -}}
{{- define "ocu.parts" -}}
{{- $d := .root.Files.Get "files/daemons.yaml" | fromYaml -}}
{{- $parts := list -}}
{{- range $node := ternary .root.Values.compute.nodes (list (dict)) (has .name $d.compute) -}}
{{- $parts = append $parts (include "ocu.part" (dict "name" $.name "node" $node)) -}}
{{- end -}}
{{ join "," $parts }}
{{- end }}

{{- /* Pods of one part. */ -}}
{{- define "ocu.selector" -}}
{{ include "ocu.release" .root }}
app.kubernetes.io/component: {{ include "ocu.part" . }}
{{- end }}

{{- /* Pods of one daemon on all nodes: a selector whole. */ -}}
{{- define "ocu.everywhere" -}}
{{- $parts := splitList "," (include "ocu.parts" .) -}}
matchLabels:
  {{- include "ocu.release" .root | nindent 2 }}
  {{- if eq (len $parts) 1 }}
  app.kubernetes.io/component: {{ first $parts }}
  {{- else }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: [{{ join ", " $parts }}]}
  {{- end }}
{{- end }}

{{- define "ocu.labels" -}}
{{ include "ocu.selector" . }}
{{- with .node }}{{ with .name }}
ocu.local/node: {{ . | quote }}
{{- end }}{{ end }}
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
{{ printf "tls+tcp://%s-%s:%d" (include "ocu.fullname" .root) (include "ocu.part" .) (int .port) }}
{{- end }}

{{- /* What no schema can say. */ -}}
{{- define "ocu.refuse" -}}
{{- if not .Values.compute.nodes }}{{ fail "compute.nodes is empty: name at least one node for sandboxes, by its label kubernetes.io/hostname" }}{{ end -}}
{{- $full := include "ocu.fullname" . -}}
{{- $names := list -}}
{{- $hosts := list -}}
{{- range .Values.compute.nodes -}}
{{- $name := .name | default "" -}}
{{- if has .hostname $hosts }}{{ fail (printf "compute.nodes has the hostname %q twice: a node has one sandboxd" .hostname) }}{{ end -}}
{{- if has $name $names }}{{ fail (ternary (printf "compute.nodes has the name %q twice" $name) "compute.nodes has two nodes without a name: one at most may have none, give the others a name" (ne $name "")) }}{{ end -}}
{{- if gt (len (printf "%s-preflight-%s" $full $name)) 63 }}{{ fail (printf "compute.nodes: the name %q is too long beside fullname %q: together they may have 52 letters" $name $full) }}{{ end -}}
{{- $names = append $names $name -}}
{{- $hosts = append $hosts .hostname -}}
{{- end -}}
{{- if ne (.Values.operatord.config.profile | default "trusted_operator") "trusted_operator" }}{{ fail (printf "operatord.config.profile is %s: it permits no sandbox tier that this version has (runc); only trusted_operator does" .Values.operatord.config.profile) }}{{ end -}}
{{- if and (eq .Values.pki.source "certManager") (not .Values.pki.certManager.issuer) }}{{ fail "pki.source is certManager: name the issuer in pki.certManager.issuer" }}{{ end -}}
{{- with .Values.collector -}}
{{- if and .address (not .secret) }}{{ fail "collector.address is set: name the secret with the collector's ca.crt in collector.secret; there is no syslog without TLS" }}{{ end -}}
{{- if and .address (not .peers) }}{{ fail "collector.address is set: say in collector.peers where the collector is; auditd may connect to nothing else" }}{{ end -}}
{{- end -}}
{{- with .Values.archive -}}
{{- if and .url (not .secret) }}{{ fail "archive.url is set: name the secret with access-key, secret-key and the store's ca.crt in archive.secret" }}{{ end -}}
{{- if and .url (not .peers) }}{{ fail "archive.url is set: say in archive.peers where the store is; auditd may connect to nothing else" }}{{ end -}}
{{- end -}}
{{- $sizes := dict "fullname" $full "pki.prefix" (include "ocu.pki" .) -}}
{{- range $what, $name := $sizes }}{{ if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}{{ fail (printf "%s is %q: lower-case letters, digits and dashes, beginning with a letter" $what $name) }}{{ end }}{{ end -}}
{{- end }}
