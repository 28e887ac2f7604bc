{{- /*
In watched namespaces. Kubernetes cannot limit rights on Secrets by label: the operator reads only Secrets that carry
digitalmessaging.io/credentials=true, and writes only those that it made itself.
*/ -}}
{{- define "digital-messaging-operator.watchedRules" -}}
- apiGroups: [digitalmessaging.io]
  resources: [managercredentials, digitalmessaginginterfaces, channelconnections]
  verbs: [get, list, watch, patch]
- apiGroups: [digitalmessaging.io]
  resources: [managercredentials/status, digitalmessaginginterfaces/status, channelconnections/status]
  verbs: [update, patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /*
In the operator's own namespace: the Lease of the election, and the Secret with the installation's name and fingerprint key.
A create cannot be limited to a name: the name is not known yet when the right is looked up.
*/ -}}
{{- define "digital-messaging-operator.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [digital-messaging-operator]
  verbs: [get, update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [digital-messaging-operator-installation]
  verbs: [get, update]
{{- end }}

{{- define "digital-messaging-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "digital-messaging-operator.serviceAccountName" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}
