{{- define "agentroute.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "agentroute.selector" -}}
app.kubernetes.io/name: agentroute
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "agentroute.labels" -}}
{{ include "agentroute.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "agentroute.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "agentroute.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "agentroute.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* What every pod has: who it runs as. The image says the same. */}}
{{- define "agentroute.podSecurity" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "agentroute.variables" -}}
- name: AGENT_METRICS__HOST
  value: 0.0.0.0
- name: AGENT_METRICS__PORT
  value: {{ .Values.metrics.port | quote }}
{{- range $name, $value := .Values.settings }}
{{- if ne (toString $value) "" }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- if .Values.existingProfile }}
- name: AGENT_PROFILE_PATH
  value: /srv/agent.toml
- name: PYTHONPATH
  value: /srv
{{- end }}
{{- if .Values.files.existingClaim }}
- name: AGENT_FILES__URL
  value: file:///files
{{- end }}
{{- end }}

{{/* What every container has: image, rights, variables, places. */}}
{{- define "agentroute.container" -}}
image: {{ include "agentroute.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
envFrom:
  - secretRef:
      name: {{ required "existingSecret: the name of a Secret with AGENT_DATABASE__URL and the other secrets" .Values.existingSecret }}
{{- with include "agentroute.variables" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if .Values.existingProfile }}
  - name: profile
    mountPath: /srv
    readOnly: true
  {{- end }}
  {{- if .Values.files.existingClaim }}
  - name: files
    mountPath: /files
  {{- end }}
{{- end }}

{{- define "agentroute.volumes" -}}
volumes:
  - name: tmp
    emptyDir: {}
  {{- if .Values.existingProfile }}
  - name: profile
    configMap:
      name: {{ .Values.existingProfile }}
  {{- end }}
  {{- if .Values.files.existingClaim }}
  - name: files
    persistentVolumeClaim:
      claimName: {{ .Values.files.existingClaim }}
  {{- end }}
{{- end }}

{{/* Pods of a component on nodes and in zones of their own, where there are any. */}}
{{- define "agentroute.placement" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "agentroute.selector" $ | nindent 8 }}
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
