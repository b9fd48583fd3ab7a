{{- /* How a daemon's keys reach its pod: one projected volume of its own secret and of what is public. Call with (dict "root" $ "name" n "node" e). */ -}}
{{- define "ocu.pkiVolume" -}}
{{- $d := .root.Files.Get "files/daemons.yaml" | fromYaml -}}
{{- $pki := include "ocu.pki" .root -}}
{{- $manager := eq .root.Values.pki.source "certManager" -}}
name: pki
projected:
  defaultMode: 0400
  sources:
    - configMap:
        name: {{ $pki }}-pki
        items:
          {{- if not $manager }}
          - {key: ca.pem, path: ca.pem, mode: 0444}
          {{- end }}
          {{- range list "internal" "caller" "session" "operator" "envelope" }}
          - {key: {{ . }}-jwks.json, path: {{ . }}-jwks.json, mode: 0444}
          {{- end }}
    - secret:
        name: {{ $pki }}-{{ .name }}
        items:
          {{- $own := concat (list "token.key") (index $d.keys .name) }}
          {{- if not $manager }}{{ $own = concat (list "cert.pem" "key.pem") $own }}{{ end }}
          {{- range $own }}
          - {key: {{ . }}, path: {{ $.name }}/{{ . }}}
          {{- end }}
    {{- if $manager }}
    - secret:
        name: {{ include "ocu.fullname" .root }}-{{ include "ocu.part" . }}-tls
        items:
          - {key: ca.crt, path: ca.pem, mode: 0444}
          - {key: tls.crt, path: {{ .name }}/cert.pem}
          - {key: tls.key, path: {{ .name }}/key.pem}
    {{- end }}
{{- end }}

{{- define "ocu.restrictedPod" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
fsGroup: {{ .uid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "ocu.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /*
What sandboxd keeps and why. SYS_ADMIN: namespaces, mounts of scratch and FUSE. NET_ADMIN: addresses, routes and nftables in the sandboxes'
networks. SETUID, SETGID: uid maps of ranges that are not its own. CHOWN: scratch belongs to the guest's root. DAC_OVERRIDE: guests' scratch
files, the custodians' sockets. KILL: processes of the guests' uids. runAsUser 0: the runtimes need it.
*/ -}}
{{- define "ocu.sandboxdContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
runAsUser: 0
runAsGroup: 0
capabilities:
  drop: [ALL]
  add: [SYS_ADMIN, NET_ADMIN, SETUID, SETGID, CHOWN, DAC_OVERRIDE, KILL]
{{- end }}

{{- define "ocu.sandboxdPod" -}}
runAsUser: 0
runAsGroup: 0
{{- if eq .Values.sandboxd.seccompProfile "Unconfined" }}
seccompProfile: {type: Unconfined}
{{- else }}
seccompProfile: {type: Localhost, localhostProfile: {{ .Values.sandboxd.seccompProfile | quote }}}
{{- end }}
{{- end }}

{{- define "ocu.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Placement: "compute" or "control" in .where, for compute the entry of compute.nodes in .node. */ -}}
{{- define "ocu.placement" -}}
{{- $w := index .root.Values .where -}}
{{- $select := deepCopy $w.nodeSelector -}}
{{- with $w.region }}{{ $_ := set $select "topology.kubernetes.io/region" . }}{{ end -}}
{{- if eq .where "compute" }}{{ $_ := set $select "kubernetes.io/hostname" .node.hostname }}{{ end -}}
{{- with $select }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $w.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The pod of one daemon: metadata and spec. Call with (dict "root" $ "name" n "where" "control" "node" e). */ -}}
{{- define "ocu.pod" -}}
{{- $d := .root.Files.Get "files/daemons.yaml" | fromYaml -}}
{{- $v := index .root.Values .name -}}
{{- $sandboxd := eq .name "sandboxd" -}}
metadata:
  labels: {{ include "ocu.labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ include "ocu.config" . | sha256sum }}
    {{- if $sandboxd }}
    container.apparmor.security.beta.kubernetes.io/sandboxd: unconfined
    {{- end }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "ocu.fullname" .root }}-{{ .name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- include "ocu.pullSecrets" .root | nindent 2 }}
  {{- include "ocu.placement" . | nindent 2 }}
  securityContext:
    {{- if $sandboxd }}{{ include "ocu.sandboxdPod" .root | nindent 4 }}
    {{- else }}{{ include "ocu.restrictedPod" (dict "uid" (int (index $d.uid .name))) | nindent 4 }}{{ end }}
  containers:
    - name: {{ .name }}
      image: {{ include "ocu.image" (dict "root" .root "image" $v.image) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: [/usr/bin/ocu-{{ .name }}]
      args: [--config, /etc/ocu/conf/{{ .name }}.yaml]
      securityContext: {{ include (ternary "ocu.sandboxdContainer" "ocu.restrictedContainer" $sandboxd) . | nindent 8 }}
      ports:
        {{- range $port, $number := index $d.ports .name }}
        - {name: {{ $port }}, containerPort: {{ $number }}}
        {{- end }}
      startupProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 1, failureThreshold: 60}
      livenessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
      readinessProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 2, timeoutSeconds: 2}
      {{- $resources := deepCopy $v.resources }}
      {{- if and $sandboxd $v.fuseResource }}
      {{- $_ := set $resources "limits" (merge (dict $v.fuseResource 1) ($resources.limits | default dict)) }}
      {{- end }}
      resources: {{ toYaml $resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/ocu/conf, readOnly: true}
        - {name: pki, mountPath: /etc/ocu/pki, readOnly: true}
        - {name: state, mountPath: /var/lib/ocu}
        - {name: run, mountPath: /run/ocu}
        {{- if and (eq .name "auditd") .root.Values.collector.address }}
        - {name: collector, mountPath: /etc/ocu/collector, readOnly: true}
        {{- end }}
        {{- if and (eq .name "auditd") .root.Values.archive.url }}
        - {name: archive, mountPath: /etc/ocu/archive, readOnly: true}
        {{- end }}
        {{- if has .name (list "brokerd" "egressd") }}
        - {name: handover-{{ .name }}, mountPath: /run/ocu/handover/{{ .name }}}
        {{- end }}
        {{- if $sandboxd }}{{ include "ocu.sandboxdMounts" .root | nindent 8 }}{{ end }}
  volumes:
    - name: config
      configMap: {name: {{ include "ocu.fullname" .root }}-{{ include "ocu.part" . }}}
    - {{ include "ocu.pkiVolume" . | nindent 6 | trim }}
    - name: run
      emptyDir: {medium: Memory, sizeLimit: 128Mi}
    {{- if and (eq .name "auditd") .root.Values.collector.address }}
    - name: collector
      secret:
        secretName: {{ .root.Values.collector.secret }}
        defaultMode: 0400
        items:
          - {key: ca.crt, path: ca.crt}
          {{- if .root.Values.collector.clientCertificate }}
          - {key: tls.crt, path: tls.crt}
          - {key: tls.key, path: tls.key}
          {{- end }}
    {{- end }}
    {{- if and (eq .name "auditd") .root.Values.archive.url }}
    - name: archive
      secret:
        secretName: {{ .root.Values.archive.secret }}
        defaultMode: 0400
        items:
          - {key: ca.crt, path: ca.crt}
          - {key: access-key, path: access-key}
          - {key: secret-key, path: secret-key}
    {{- end }}
    {{- if eq .where "compute" }}
    - name: state
      persistentVolumeClaim: {claimName: {{ include "ocu.fullname" .root }}-{{ include "ocu.part" . }}}
    {{- end }}
    {{- if has .name (list "brokerd" "egressd") }}
    - name: handover-{{ .name }}
      persistentVolumeClaim: {claimName: {{ include "ocu.fullname" .root }}-handover-{{ include "ocu.part" . }}}
    {{- end }}
    {{- if $sandboxd }}{{ include "ocu.sandboxdVolumes" . | nindent 4 }}{{ end }}
{{- end }}

{{- define "ocu.sandboxdMounts" -}}
- {name: handover-brokerd, mountPath: /run/ocu/handover/brokerd}
- {name: handover-egressd, mountPath: /run/ocu/handover/egressd}
- {name: images, mountPath: /var/cache/ocu/images, readOnly: true}
{{- if not .Values.sandboxd.fuseResource }}
- {name: fuse, mountPath: /dev/fuse}
{{- end }}
{{- end }}

{{- define "ocu.sandboxdVolumes" -}}
{{- range $name := list "brokerd" "egressd" }}
- name: handover-{{ $name }}
  persistentVolumeClaim: {claimName: {{ include "ocu.fullname" $.root }}-handover-{{ include "ocu.part" (dict "name" $name "node" $.node) }}}
{{- end }}
- name: images
  hostPath: {path: {{ .root.Values.sandboxd.imageDir | quote }}, type: Directory}
{{- if not .root.Values.sandboxd.fuseResource }}
- name: fuse
  hostPath: {path: /dev/fuse, type: CharDevice}
{{- end }}
{{- end }}
