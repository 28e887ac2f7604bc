{{- define "digital-messaging-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- /* Leaves room for the longest ending within the 63 characters of a Service's name. */ -}}
{{- define "digital-messaging-operator.fullname" -}}
{{- $name := include "digital-messaging-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "digital-messaging-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "digital-messaging-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "digital-messaging-operator.metricsServiceName" -}}
{{- printf "%s-metrics" (include "digital-messaging-operator.fullname" .) -}}
{{- end }}

{{- define "digital-messaging-operator.dashboardName" -}}
{{- printf "%s-dashboard" (include "digital-messaging-operator.fullname" .) -}}
{{- end }}

{{- define "digital-messaging-operator.managerName" -}}
{{- printf "%s-manager" (include "digital-messaging-operator.fullname" .) -}}
{{- end }}

{{- /* dict "root" $ "namespace" NAMESPACE */ -}}
{{- define "digital-messaging-operator.managerUrl" -}}
{{- $values := .root.Values.manager -}}
{{- $scheme := ternary "https" "http" (not (empty $values.tlsSecretName)) -}}
{{- $own := printf "%s://%s.%s.svc:%v" $scheme (include "digital-messaging-operator.managerName" .root) .namespace $values.port -}}
{{- default $own $values.publicUrl -}}
{{- end }}

{{- /* dict "root" $ "image" .Values.image */ -}}
{{- define "digital-messaging-operator.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end }}
