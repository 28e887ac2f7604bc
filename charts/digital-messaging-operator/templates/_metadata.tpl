{{- /*
What selects the pods of a component; the rest of their labels may change, this may not: selectors are immutable.
dict "root" $ "component" "operator"
*/ -}}
{{- define "digital-messaging-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "digital-messaging-operator.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* Labels and annotations of the user never replace those that the chart relies on. */ -}}
{{- define "digital-messaging-operator.labels" -}}
{{- $own := fromYaml (include "digital-messaging-operator.selectorLabels" .) -}}
{{- $own = merge $own (dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_"))) -}}
{{- merge $own (default dict .labels) .root.Values.commonLabels | toYaml -}}
{{- end }}

{{- /*
What every object begins with. Names are quoted: "n" and "42" are names of namespaces and releases, too.
dict "root" $ "name" NAME "component" COMPONENT; optional "namespace" (own by default; "" for none), "labels", "annotations"
*/ -}}
{{- define "digital-messaging-operator.metadata" -}}
name: {{ .name | quote }}
{{- $namespace := .root.Release.Namespace -}}
{{- if hasKey . "namespace" }}{{ $namespace = .namespace }}{{ end }}
{{- with $namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "digital-messaging-operator.labels" . | nindent 2 }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The same for pods: no version, so that an upgrade that changes nothing else restarts nothing. */ -}}
{{- define "digital-messaging-operator.podMetadata" -}}
{{- $own := fromYaml (include "digital-messaging-operator.selectorLabels" .) -}}
labels:
  {{- merge $own (default dict .labels) .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
