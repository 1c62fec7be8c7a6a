{{/* Names and labels; nothing here decides anything else. */}}

{{- define "evenkeel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "evenkeel.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "evenkeel.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "evenkeel.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "evenkeel.selectorLabels" -}}
app.kubernetes.io/name: {{ include "evenkeel.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "evenkeel.labels" -}}
{{ include "evenkeel.selectorLabels" . }}
app.kubernetes.io/component: scaler
app.kubernetes.io/part-of: evenkeel
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of the pod: nothing that another version of the chart alone would change, since that would restart it. */}}
{{- define "evenkeel.podLabels" -}}
{{ include "evenkeel.selectorLabels" . }}
app.kubernetes.io/component: scaler
app.kubernetes.io/part-of: evenkeel
{{- with merge (deepCopy .Values.podLabels) .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "evenkeel.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "evenkeel.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- if and .Values.kubernetes.enabled (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.name is required where serviceAccount.create is false: kubernetes.enabled gives it rights, and \"default\" is every pod's" }}
{{- end }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "evenkeel.image" -}}
{{- $repository := required "image.repository is required: no image is published, deploy/docker/scaler.Dockerfile builds one" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The Secret with the gRPC port's certificate; empty where there is none. */}}
{{- define "evenkeel.grpcSecret" -}}
{{- with .Values.grpcTls }}
{{- if .secret }}
{{- .secret }}
{{- else if .certManager }}
{{- printf "%s-grpc" (include "evenkeel.fullname" $) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether there may be several replicas, of which one leads. */}}
{{- define "evenkeel.leads" -}}
{{- if and .Values.kubernetes.enabled .Values.kubernetes.rights.lease }}yes{{ end }}
{{- end }}

{{- define "evenkeel.replicas" -}}
{{- if include "evenkeel.leads" . }}
{{- .Values.replicas }}
{{- else -}}
1
{{- end }}
{{- end }}

{{- define "evenkeel.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $rights := .Values.kubernetes.rights }}
{{- if .Values.kubernetes.enabled }}
{{- if hasKey $config "kubernetes" }}
{{- fail "kubernetes.enabled writes config.kubernetes: give one of them" }}
{{- end }}
{{- $_ := set $config "kubernetes" (dict "enabled" true "workloads" $rights.workloads "events" (and $rights.workloads $rights.events)) }}
{{- if $rights.lease }}
{{- if dig "leader" "lease" "" $config }}
{{- fail "kubernetes.rights.lease writes config.leader.lease: give one of them" }}
{{- end }}
{{- $_ := set $config "leader" (merge (dict "lease" (include "evenkeel.fullname" .)) (default dict $config.leader)) }}
{{- end }}
{{- if $rights.configMaps }}
{{- if hasKey $config "state" }}
{{- fail "kubernetes.rights.configMaps writes config.state: set it to false, or leave config.state out" }}
{{- end }}
{{- $_ := set $config "state" (dict "configMaps" (printf "%s-learned" (include "evenkeel.fullname" . | trunc 55 | trimSuffix "-"))) }}
{{- end }}
{{- else if not (hasKey $config "kubernetes") }}
{{- $_ := set $config "kubernetes" (dict "enabled" false) }}
{{- end }}
{{- if include "evenkeel.grpcSecret" . }}
{{- if dig "grpc" "tls" dict $config }}
{{- fail "grpcTls writes config.grpc.tls: give one of them" }}
{{- end }}
{{- $folder := "/var/run/evenkeel/grpc" }}
{{- $tls := dict "cert" (printf "%s/tls.crt" $folder) "key" (printf "%s/tls.key" $folder) }}
{{- if .Values.grpcTls.clientCertificates }}
{{- $_ := set $tls "clientCa" (printf "%s/ca.crt" $folder) }}
{{- end }}
{{- $grpc := default dict $config.grpc }}
{{- $_ := set $grpc "tls" $tls }}
{{- $_ := set $config "grpc" $grpc }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* The runbook of alerts: where it is published, or in the scaler's own page. */}}
{{- define "evenkeel.runbook" -}}
{{- if .Values.runbookBaseUrl }}
{{- printf "%s/operating.md" (trimSuffix "/" .Values.runbookBaseUrl) }}
{{- else }}
{{- printf "http://%s.%s.svc:8080/docs/operating.md" (include "evenkeel.fullname" .) .Release.Namespace }}
{{- end }}
{{- end }}

{{/* The alerts of files/alerts.yaml as rules, with what prometheusRule.alerts changes of them. */}}
{{- define "evenkeel.alerts" -}}
{{- $job := default (include "evenkeel.fullname" .) .Values.prometheusRule.job }}
{{- $scaler := printf "namespace=%q,job=%q" .Release.Namespace $job }}
{{- $runbook := include "evenkeel.runbook" . }}
{{- $labels := .Values.prometheusRule.alertLabels }}
{{- $given := .Values.prometheusRule.alerts }}
{{- $rules := list }}
{{- $outage := "" }}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).alerts }}
{{- $own := merge (deepCopy (default dict (get $given .alert))) . }}
{{- $expression := .expr | trim | replace "$outage" $outage | replace "$scaler" $scaler | replace "$threshold" (toString $own.threshold) }}
{{- if eq .alert "EvenkeelOutage" }}
{{- $outage = $expression }}
{{- end }}
{{- if not (and (hasKey $own "enabled") (not $own.enabled)) }}
{{- $rule := dict "alert" .alert "expr" $expression }}
{{- with $own.for }}
{{- $_ := set $rule "for" . }}
{{- end }}
{{- $_ := set $rule "labels" (merge (dict "severity" $own.severity) $labels) }}
{{- $_ := set $rule "annotations" (dict "summary" .summary "runbook_url" (printf "%s#%s" $runbook (lower .alert))) }}
{{- $rules = append $rules $rule }}
{{- end }}
{{- end }}
{{- toYaml $rules }}
{{- end }}

{{/* Named by what it holds: a pod keeps the configuration that it was made with, also where a newer one is bad. */}}
{{- define "evenkeel.configMap" -}}
{{- printf "%s-%s" (include "evenkeel.fullname" . | trunc 54 | trimSuffix "-") (include "evenkeel.config" . | sha256sum | trunc 8) }}
{{- end }}

{{/* ConfigMaps of this release that pods of earlier versions still have: helm would delete them on an upgrade,
and such a pod could not start again. */}}
{{- define "evenkeel.configMapsInUse" -}}
{{- $found := dict }}
{{- range (lookup "apps/v1" "ReplicaSet" .Release.Namespace "").items }}
{{- $labels := default dict .metadata.labels }}
{{- $isOurs := and (eq (get $labels "app.kubernetes.io/instance") $.Release.Name) (eq (get $labels "app.kubernetes.io/name") (include "evenkeel.name" $)) }}
{{- if and $isOurs (gt (int (default 0 .spec.replicas)) 0) }}
{{- range .spec.template.spec.volumes }}
{{- if and (eq .name "config") .configMap }}
{{- $_ := set $found .configMap.name true }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $_ := unset $found (include "evenkeel.configMap" .) }}
{{- keys $found | sortAlpha | toJson }}
{{- end }}
