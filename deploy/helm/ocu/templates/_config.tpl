{{- /* Configuration of one daemon: what the chart decides, then what values give under config. Call with (dict "root" $ "name" n). */ -}}
{{- define "ocu.config" -}}
{{- $d := .root.Files.Get "files/daemons.yaml" | fromYaml -}}
{{- $p := $d.ports -}}
{{- $r := .root -}}
{{- $url := dict -}}
{{- range $row := list (list "feed" "operatord" $p.operatord.feed) (list "pull" "operatord" $p.operatord.pull) (list "session" "operatord" $p.operatord.rpc) (list "control" "sandboxd" $p.sandboxd.control) (list "exec" "sandboxd" $p.sandboxd.exec) (list "brokerd" "brokerd" $p.brokerd.rpc) (list "egressd" "egressd" $p.egressd.rpc) (list "audit" "auditd" $p.auditd.rpc) -}}
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
{{- $own = merge $own (dict "rpc_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.operatord.rpc)) "feed_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.operatord.feed)) "pull_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.operatord.pull)) "api_listen" (printf "0.0.0.0:%d" (int $p.operatord.api)) "revoke_listen" (printf "0.0.0.0:%d" (int $p.operatord.revoke)) "sandboxd_control_url" $url.control "sandboxd_exec_url" $url.exec "brokerd_url" $url.brokerd "egressd_url" $url.egressd) -}}
{{- else if eq .name "brokerd" -}}
{{- $own = merge $own (dict "rpc_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.brokerd.rpc)) "files_listen" (printf "0.0.0.0:%d" (int $p.brokerd.files)) "handover_socket" "/run/ocu/handover/brokerd/d/brokerd.sock") -}}
{{- else if eq .name "egressd" -}}
{{- $own = merge $own (dict "rpc_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.egressd.rpc)) "handover_socket" "/run/ocu/handover/egressd/d/egressd.sock") -}}
{{- else if eq .name "sandboxd" -}}
{{- $own = merge $own (dict "exec_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.sandboxd.exec)) "control_listen" (printf "tls+tcp://0.0.0.0:%d" (int $p.sandboxd.control)) "brokerd_socket" "/run/ocu/handover/brokerd/d/brokerd.sock" "egressd_socket" "/run/ocu/handover/egressd/d/egressd.sock" "brokerd_uid" $d.uid.brokerd "egressd_uid" $d.uid.egressd) -}}
{{- end -}}
{{- toYaml (merge $own (index $r.Values .name).config) -}}
{{- end }}
