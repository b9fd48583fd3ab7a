{{- /* Configuration of one daemon: what the chart decides, then what values give under config. Call with (dict "root" $ "name" n "node" its entry of compute.nodes). */ -}}
{{- define "ocu.config" -}}
{{- $d := .root.Files.Get "files/daemons.yaml" | fromYaml -}}
{{- $p := $d.ports -}}
{{- $r := .root -}}
{{- $url := dict -}}
{{- range $row := list (list "feed" "operatord" $p.operatord.feed) (list "pull" "operatord" $p.operatord.pull) (list "session" "operatord" $p.operatord.rpc) (list "audit" "auditd" $p.auditd.rpc) -}}
{{- $_ := set $url (index $row 0) (include "ocu.url" (dict "root" $r "name" (index $row 1) "port" (index $row 2))) -}}
{{- end -}}
{{- $own := dict "trust_domain" $r.Values.trustDomain "metrics_listen" (printf "0.0.0.0:%d" (int (index $p .name "metrics"))) -}}
{{- if eq .name "auditd" -}}
{{- $own = merge $own (dict "rpc_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.auditd.rpc)) "auditor_listen" (printf "0.0.0.0:%d" (int $p.auditd.auditor))) -}}
{{- with $r.Values.collector -}}
{{- if .address -}}
{{- $own = merge $own (dict "syslog_address" .address "syslog_server_name" .serverName "syslog_ca" "/etc/ocu/collector/ca.crt" "syslog_hostname" .hostname "syslog_facility" .facility) -}}
{{- if .clientCertificate -}}
{{- $own = merge $own (dict "syslog_cert" "/etc/ocu/collector/tls.crt" "syslog_key" "/etc/ocu/collector/tls.key") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $r.Values.archive -}}
{{- if .url -}}
{{- $own = merge $own (dict "archive_url" .url "archive_region" .region "archive_ca" "/etc/ocu/archive/ca.crt" "archive_access_key" "/etc/ocu/archive/access-key" "archive_secret_key" "/etc/ocu/archive/secret-key" "archive_lock" .lock "archive_days" .days "hot_days" .hotDays) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- $_ := set $own "audit_url" $url.audit -}}
{{- end -}}
{{- if has .name (list "gateway" "sandboxd" "brokerd" "egressd") -}}
{{- $own = merge $own (dict "denylist_feed_url" $url.feed "denylist_pull_url" $url.pull) -}}
{{- end -}}
{{- if eq .name "gateway" -}}
{{- $host := printf "%s-gateway" (include "ocu.fullname" $r) -}}
{{- $hosts := list -}}
{{- range $h := list $host (printf "%s.%s" $host $r.Release.Namespace) (printf "%s.%s.svc" $host $r.Release.Namespace) -}}
{{- $hosts = append $hosts (printf "%s:%d" $h (int $p.gateway.mcp)) -}}
{{- end -}}
{{- $own = merge $own (dict "listen" (printf "0.0.0.0:%d" (int $p.gateway.mcp)) "operatord_url" $url.session "public_url" ($r.Values.gateway.publicUrl | default (printf "http://%s.%s.svc:%d" $host $r.Release.Namespace (int $p.gateway.mcp)))) -}}
{{- $_ := set $own "allowed_hosts" (concat $hosts ($r.Values.gateway.config.allowed_hosts | default list)) -}}
{{- else if eq .name "operatord" -}}
{{- $own = merge $own (dict "rpc_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.operatord.rpc)) "feed_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.operatord.feed)) "pull_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.operatord.pull)) "api_listen" (printf "0.0.0.0:%d" (int $p.operatord.api)) "revoke_listen" (printf "0.0.0.0:%d" (int $p.operatord.revoke))) -}}
{{- $nodes := include "ocu.nodes" $r | fromYamlArray -}}
{{- /* One node that nothing is said of is operatord's four addresses, as it was before there could be several. */ -}}
{{- $n := first $r.Values.compute.nodes -}}
{{- $plain := not (or (gt (len $nodes) 1) $n.name $n.cordoned $n.filesUrl) -}}
{{- $own = merge $own (ternary (omit (first $nodes) "name" "files_url") (dict "nodes" $nodes) $plain) -}}
{{- else if eq .name "brokerd" -}}
{{- $own = merge $own (dict "rpc_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.brokerd.rpc)) "files_listen" (printf "0.0.0.0:%d" (int $p.brokerd.files)) "handover_socket" "/run/ocu/handover/brokerd/d/brokerd.sock" "handover_wait" "50s") -}}
{{- else if eq .name "egressd" -}}
{{- $own = merge $own (dict "rpc_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.egressd.rpc)) "handover_socket" "/run/ocu/handover/egressd/d/egressd.sock" "handover_wait" "50s") -}}
{{- else if eq .name "sandboxd" -}}
{{- $own = merge $own (dict "exec_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.sandboxd.exec)) "control_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.sandboxd.control)) "brokerd_socket" "/run/ocu/handover/brokerd/d/brokerd.sock" "egressd_socket" "/run/ocu/handover/egressd/d/egressd.sock" "brokerd_uid" $d.uid.brokerd "egressd_uid" $d.uid.egressd) -}}
{{- with .node }}{{ with .name }}{{ $_ := set $own "instance" . }}{{ end }}{{ end -}}
{{- end -}}
{{- toYaml (merge $own (index $r.Values .name).config) -}}
{{- end }}

{{- /* operatord's list of nodes, as YAML. Callers are told where a node's files API is when somebody may reach it. */ -}}
{{- define "ocu.nodes" -}}
{{- $d := .Files.Get "files/daemons.yaml" | fromYaml -}}
{{- $full := include "ocu.fullname" . -}}
{{- $nodes := list -}}
{{- range $n := .Values.compute.nodes -}}
{{- $out := dict "name" ($n.name | default "") -}}
{{- range $row := list (list "sandboxd_control_url" "sandboxd" "control") (list "sandboxd_exec_url" "sandboxd" "exec") (list "brokerd_url" "brokerd" "rpc") (list "egressd_url" "egressd" "rpc") -}}
{{- $_ := set $out (index $row 0) (include "ocu.url" (dict "root" $ "name" (index $row 1) "node" $n "port" (index $d.ports (index $row 1) (index $row 2)))) -}}
{{- end -}}
{{- $files := printf "https://%s-%s.%s.svc:%d" $full (include "ocu.part" (dict "name" "brokerd" "node" $n)) $.Release.Namespace (int $d.ports.brokerd.files) -}}
{{- with $n.filesUrl | default (ternary $files "" (gt (len $.Values.access.files) 0)) }}{{ $_ := set $out "files_url" . }}{{ end -}}
{{- if $n.cordoned }}{{ $_ := set $out "cordoned" true }}{{ end -}}
{{- $nodes = append $nodes $out -}}
{{- end -}}
{{- toYaml $nodes -}}
{{- end }}
