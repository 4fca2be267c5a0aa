{{- define "zrsd.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "zrsd.selector" -}}
app.kubernetes.io/name: zrsd
app.kubernetes.io/instance: {{ include "zrsd.name" . }}
{{- end -}}

{{- define "zrsd.labels" -}}
{{ include "zrsd.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "zrsd.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.Version }}
{{- end -}}

{{/* The address of a node: its name in the headless service. */}}
{{- define "zrsd.host" -}}
{{- $name := include "zrsd.name" .root -}}
{{ $name }}-{{ .index }}.{{ $name }}.{{ .root.Release.Namespace }}.svc
{{- end -}}

{{/* What every container may do: nothing but read its image. */}}
{{- define "zrsd.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "zrsd.podSecurity" -}}
runAsNonRoot: true
runAsUser: 500
runAsGroup: 500
fsGroup: 500
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* A probe that asks the node for a role. With TLS the node asks for a certificate, which the kubelet has not. */}}
{{- define "zrsd.probe" -}}
{{- if .root.Values.tls.secretName -}}
exec:
  command: [zrsd, health, "localhost:8080", --role, {{ .role }}, --tls-cert, /tls/tls.crt, --tls-key, /tls/tls.key, --tls-ca, /tls/ca.crt]
{{- else -}}
httpGet: {path: {{ .path }}, port: admin}
{{- end }}
timeoutSeconds: 5
{{- end -}}
