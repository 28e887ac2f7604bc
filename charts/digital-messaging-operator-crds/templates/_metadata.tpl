{{- /* Labels and annotations of the user never replace those that the chart relies on. */ -}}
{{- define "digital-messaging-operator-crds.metadata" -}}
{{- $labels := dict
  "app.kubernetes.io/name" "digital-messaging-operator"
  "app.kubernetes.io/component" "definitions"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) -}}
{{- $annotations := ternary (dict "helm.sh/resource-policy" "keep") dict .Values.keep -}}
labels:
  {{- merge $labels .Values.commonLabels | toYaml | nindent 2 }}
{{- with merge $annotations .Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
