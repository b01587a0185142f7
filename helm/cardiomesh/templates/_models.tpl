{{/* The model repository: one read-only volume named "models", and an init container where it must be filled. */}}
{{- define "cardiomesh.modelsVolume" -}}
- name: models
  {{- if eq .Values.models.delivery "pvc" }}
  persistentVolumeClaim:
    claimName: {{ required "models.pvc.claimName: name the claim that holds the model repository" .Values.models.pvc.claimName }}
    readOnly: true
  {{- else if and (eq .Values.models.delivery "image") (eq .Values.models.image.mount "volume") }}
  image:
    reference: {{ include "cardiomesh.image" (list . .Values.models.image) }}
    pullPolicy: {{ .Values.images.pullPolicy }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.models.sizeLimit }}
  {{- end }}
{{- if eq .Values.models.delivery "archive" }}
- name: fetch-models
  configMap:
    name: {{ include "cardiomesh.fullname" . }}-scripts
{{- end }}
{{- end }}

{{- define "cardiomesh.modelsMount" -}}
- name: models
  mountPath: /models
  readOnly: true
  {{- with .Values.models.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}

{{- define "cardiomesh.modelsInit" -}}
{{- $copies := and (eq .Values.models.delivery "image") (eq .Values.models.image.mount "copy") }}
{{- if or $copies (eq .Values.models.delivery "archive") }}
initContainers:
  - name: models
    {{- if $copies }}
    image: {{ include "cardiomesh.image" (list . .Values.models.image) }}
    # The manifest is checked against the digest in the values, each file against the manifest.
    command: ["sh", "-ec"]
    args:
      - |
        cp -R /model_repository/. /models/
        cd /models
        echo "$MODELS_SHA256  SHA256SUMS" | sha256sum -c -
        sha256sum -c SHA256SUMS
    env:
      - name: MODELS_SHA256
        value: {{ required "models.sha256: the digest of SHA256SUMS in the models image" .Values.models.sha256 | quote }}
    {{- else }}
    image: {{ include "cardiomesh.image" (list . .Values.gateway.image) }}
    command: ["python", "/scripts/fetch_models.py"]
    args:
      - {{ required "models.archive.url: where the archive of the model repository lies" .Values.models.archive.url | quote }}
      - {{ required "models.sha256: the archive's digest" .Values.models.sha256 | quote }}
      - /models
    {{- end }}
    imagePullPolicy: {{ .Values.images.pullPolicy }}
    {{- include "cardiomesh.containerSecurity" . | nindent 4 }}
    resources:
      requests: {cpu: 100m, memory: 128Mi}
      limits: {memory: 512Mi}
    volumeMounts:
      - name: models
        mountPath: /models
        {{- with .Values.models.subPath }}
        subPath: {{ . }}
        {{- end }}
      {{- if not $copies }}
      - name: fetch-models
        mountPath: /scripts
        readOnly: true
      {{- end }}
{{- end }}
{{- end }}
