{{- /* An IPv6 address needs brackets before a port. */ -}}
{{- define "digital-messaging-operator.listen" -}}
{{- if contains ":" .address -}}
[{{ .address }}]:{{ .port }}
{{- else -}}
{{ .address }}:{{ .port }}
{{- end -}}
{{- end }}

{{- /*
The own namespace by what the kubelet puts in its place: kustomize moves objects to another namespace, and leaves arguments alone.
*/ -}}
{{- define "digital-messaging-operator.watched" -}}
{{- $names := list -}}
{{- range .Values.watchNamespaces -}}
{{- $names = append $names (ternary "$(POD_NAMESPACE)" . (eq . $.Release.Namespace)) -}}
{{- end -}}
{{- join "," $names -}}
{{- end }}

{{- /* What arguments with $(POD_NAMESPACE) need. */ -}}
{{- define "digital-messaging-operator.podNamespace" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end }}

{{- define "digital-messaging-operator.scheduling" -}}
{{- with .Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
