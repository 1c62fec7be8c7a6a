{{/* Names and labels; nothing here decides anything else. */}}

{{- define "evenkeel-consumer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "evenkeel-consumer.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "evenkeel-consumer.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "evenkeel-consumer.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "evenkeel-consumer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "evenkeel-consumer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "evenkeel-consumer.labels" -}}
{{ include "evenkeel-consumer.selectorLabels" . }}
app.kubernetes.io/component: consumer
app.kubernetes.io/part-of: evenkeel
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of the pods: nothing that another version of the chart alone would change, since that would restart
all consumers, which is a rebalance. */}}
{{- define "evenkeel-consumer.podLabels" -}}
{{ include "evenkeel-consumer.selectorLabels" . }}
app.kubernetes.io/component: consumer
app.kubernetes.io/part-of: evenkeel
{{- with merge (deepCopy .Values.podLabels) .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "evenkeel-consumer.image" -}}
{{- $repository := required "image.repository is required: no image is published, deploy/docker/consumer.Dockerfile builds one" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "evenkeel-consumer.bootstrapServers" -}}
{{- if not .Values.kafka.bootstrapServers }}{{ fail "kafka.bootstrapServers is required" }}{{ end }}
{{- join "," .Values.kafka.bootstrapServers }}
{{- end }}

{{- define "evenkeel-consumer.group" -}}
{{- default (include "evenkeel-consumer.fullname" .) .Values.kafka.consumerGroup }}
{{- end }}
