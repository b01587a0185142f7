{{/* Names. The release name alone where it already says what this is. */}}
{{- define "cardiomesh.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains "cardiomesh" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-cardiomesh" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels that never change: they select pods, and selectors are immutable. Call with (list $ "component"). */}}
{{- define "cardiomesh.selector" -}}
app.kubernetes.io/name: cardiomesh
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "cardiomesh.labels" -}}
{{- $root := index . 0 -}}
{{ include "cardiomesh.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cardiomesh
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* One image reference: registry, repository, then digest if known, else tag. Call with (list $ image). */}}
{{- define "cardiomesh.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- with $root.Values.images.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What every pod has. Call with (list $ "component" values). */}}
{{- define "cardiomesh.pod" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $v := index . 2 -}}
serviceAccountName: {{ include "cardiomesh.fullname" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $v.priorityClassName | default (ternary $root.Values.priorityClass.name "" $root.Values.priorityClass.create) }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $v.runAsUser }}
  runAsGroup: {{ $v.runAsUser }}
  fsGroup: {{ $v.runAsUser }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range $root.Values.topologySpread }}
  - topologyKey: {{ .topologyKey }}
    maxSkew: {{ .maxSkew }}
    whenUnsatisfiable: {{ .whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "cardiomesh.selector" (list $root $component) | nindent 8 }}
    # Old and new pods are spread each for themselves, so that an upgrade does not end lopsided.
    matchLabelKeys: [pod-template-hash]
  {{- else }} []
  {{- end }}
{{- end }}

{{- define "cardiomesh.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Where a part of the mesh is dialled: the headless name gives every pod's address, the client balances. */}}
{{- define "cardiomesh.dial" -}}
{{- $root := index . 0 -}}
dns:///{{ include "cardiomesh.fullname" $root }}-{{ index . 1 }}.{{ $root.Release.Namespace }}.svc.{{ $root.Values.clusterDomain }}:{{ index . 2 }}
{{- end }}

{{/* The secret with tls.crt, tls.key and ca.crt of one component. */}}
{{- define "cardiomesh.tlsSecret" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- if eq $root.Values.tls.source "certManager" }}{{ include "cardiomesh.fullname" $root }}-{{ $component }}-tls
{{- else }}{{ required (printf "tls.secrets.%s: name the secret with tls.crt, tls.key and ca.crt" $component) (get $root.Values.tls.secrets $component) }}{{ end }}
{{- end }}

{{/* Where the store is: a password is in it, so it comes from a secret. */}}
{{- define "cardiomesh.storeUrl" -}}
- name: CARDIOMESH_STORE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.store.existingSecret.name }}
      key: {{ .Values.store.existingSecret.urlKey }}
{{- end }}

{{/* Checks that need several values at once, so that the schema cannot make them. */}}
{{- define "cardiomesh.check" -}}
{{- if and .Values.valkey.enabled .Values.redis.existingSecret.name }}
{{- fail "valkey.enabled and redis.existingSecret.name exclude each other: one result cache, in the chart or outside" }}
{{- end }}
{{- if and (eq .Values.models.delivery "image") (eq .Values.models.image.mount "volume") (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail "models.image.mount=volume needs Kubernetes 1.33 or newer; use models.image.mount=copy" }}
{{- end }}
{{- $age := float64 .Values.triton.maxConnectionAgeSeconds }}
{{- if lt (float64 .Values.triton.preStopSeconds) (mulf $age 1.1) }}
{{- fail "triton.preStopSeconds must be at least 1.1 times triton.maxConnectionAgeSeconds: clients must have left before Triton unloads" }}
{{- end }}
{{- end }}
