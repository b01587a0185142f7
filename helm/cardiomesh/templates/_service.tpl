{{/*
One of our three services: Deployment and headless Service. They differ in their addresses, and in whether they read
the model repository; everything else comes from the chassis they share. Call with (dict "root" $ "name" "gateway").
*/}}
{{- define "cardiomesh.service" -}}
{{- $root := .root -}}{{- $name := .name -}}{{- $v := get $root.Values $name -}}
{{- $models := ne $name "preprocessor" -}}
{{- $full := printf "%s-%s" (include "cardiomesh.fullname" $root) $name -}}
{{- $tls := $root.Values.tls.enabled -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $full }}
  labels:
    {{- include "cardiomesh.labels" (list $root $name) | nindent 4 }}
spec:
  {{- if eq $root.Values.autoscaling.engine "none" }}
  replicas: {{ $v.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: {{ $root.Values.progressDeadlineSeconds }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: {{ $v.maxSurge }}
  selector:
    matchLabels:
      {{- include "cardiomesh.selector" (list $root $name) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "cardiomesh.labels" (list $root $name) | nindent 8 }}
      {{- $annotations := $v.podAnnotations }}
      {{- if and $models $root.Values.models.sha256 }}
      {{- $annotations = merge (dict "cardiomesh.io/models-sha256" $root.Values.models.sha256) $annotations }}
      {{- end }}
      {{- with $annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "cardiomesh.pod" (list $root $name $v) | nindent 6 }}
      # preStop, drain and grace follow one another; the margin is for the process to leave.
      terminationGracePeriodSeconds: {{ add $v.preStopSeconds $v.drainDelaySeconds $v.drainGraceSeconds 5 }}
      {{- if $models }}
      {{- with include "cardiomesh.modelsInit" $root }}{{ . | nindent 6 }}{{ end }}
      {{- end }}
      containers:
        - name: {{ $name }}
          image: {{ include "cardiomesh.image" (list $root $v.image) }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          ports:
            - {name: grpc, containerPort: {{ $v.grpcPort }}}
            - {name: http, containerPort: {{ $v.httpPort }}}
          env:
            {{- include "cardiomesh.environment" (list $root $name $v) | nindent 12 }}
          {{- include "cardiomesh.probes" (list $root $v) | nindent 10 }}
          lifecycle:
            preStop:
              exec:
                # Endpoints and clients learn of the end before the process does.
                command: ["sleep", {{ $v.preStopSeconds | quote }}]
          resources:
            {{- toYaml $v.resources | nindent 12 }}
          {{- include "cardiomesh.containerSecurity" $root | nindent 10 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if $models }}
            {{- include "cardiomesh.modelsMount" $root | nindent 12 }}
            {{- end }}
            {{- if $tls }}
            - {name: tls, mountPath: /tls, readOnly: true}
            {{- end }}
            {{- if and (eq $name "gateway") $v.identities.existingSecret.name }}
            - {name: identities, mountPath: /identities, readOnly: true}
            {{- end }}
            {{- if and (eq $name "gateway") $root.Values.store.existingSecret.name }}
            - {name: store, mountPath: /store, readOnly: true}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: {{ $v.tmpSizeLimit }}
        {{- if $models }}
        {{- include "cardiomesh.modelsVolume" $root | nindent 8 }}
        {{- end }}
        {{- if $tls }}
        - name: tls
          secret:
            secretName: {{ include "cardiomesh.tlsSecret" (list $root $name) }}
            defaultMode: 0440
        {{- end }}
        {{- if and (eq $name "gateway") $v.identities.existingSecret.name }}
        - name: identities
          secret:
            secretName: {{ $v.identities.existingSecret.name }}
            defaultMode: 0440
        {{- end }}
        {{- if eq $name "gateway" }}
        {{- with $root.Values.store.existingSecret }}
        {{- if .name }}
        - name: store
          secret:
            secretName: {{ .name }}
            defaultMode: 0440
            items: [{key: {{ .keyKey }}, path: key}]
        {{- end }}
        {{- end }}
        {{- end }}
---
{{ include "cardiomesh.headless" (list $root $name (dict "grpc" $v.grpcPort "http" $v.httpPort)) }}
{{- end }}

{{/* A headless Service: one DNS answer per ready pod, so that gRPC clients balance over pods. */}}
{{- define "cardiomesh.headless" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "cardiomesh.fullname" $root }}-{{ $name }}-headless
  labels:
    {{- include "cardiomesh.labels" (list $root $name) | nindent 4 }}
    cardiomesh.io/scrape: "true"
spec:
  clusterIP: None
  # A pod that drains leaves the answer at once.
  publishNotReadyAddresses: false
  selector:
    {{- include "cardiomesh.selector" (list $root $name) | nindent 4 }}
  ports:
    {{- range $port, $number := index . 2 }}
    - {name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}}
    {{- end }}
{{- end }}

{{- define "cardiomesh.probes" -}}
{{- $root := index . 0 -}}{{- $v := index . 1 -}}
{{- $tls := $root.Values.tls.enabled -}}
{{- /* The kubelet's gRPC probe speaks no TLS; then the same two states are asked for over HTTP. */ -}}
startupProbe:
  {{- include "cardiomesh.ask" (list $tls $v "liveness" "/healthz") | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div $v.startupSeconds 2 }}
readinessProbe:
  {{- include "cardiomesh.ask" (list $tls $v "readiness" "/readyz") | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  # Never asks a backend: a dead Triton restarts nothing else.
  {{- include "cardiomesh.ask" (list $tls $v "liveness" "/healthz") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{- define "cardiomesh.ask" -}}
{{- $v := index . 1 -}}
{{- if index . 0 -}}
httpGet:
  path: {{ index . 3 }}
  port: http
{{- else -}}
grpc:
  port: {{ $v.grpcPort }}
  service: {{ index . 2 }}
{{- end }}
{{- end }}

{{/* The environment of one service: what the chart wires, then the values' settings by their own names. */}}
{{- define "cardiomesh.environment" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $v := index . 2 -}}
{{- $values := $root.Values -}}
{{- $env := dict
  "GRPC_ADDRESS" (printf "%s:%v" $values.listenHost $v.grpcPort)
  "HTTP_ADDRESS" (printf "%s:%v" $values.listenHost $v.httpPort)
  "MAX_CONNECTION_AGE_S" "300"
  "DRAIN_DELAY_S" ($v.drainDelaySeconds | toString)
  "DRAIN_GRACE_S" ($v.drainGraceSeconds | toString) -}}
{{- if ne $name "preprocessor" }}
{{- $_ := set $env "MODEL_REPOSITORY" "/models" }}
{{- $_ := set $env "TRITON_ADDRESS" (include "cardiomesh.dial" (list $root "triton-headless" $values.triton.grpcPort)) }}
{{- end }}
{{- if eq $name "gateway" }}
{{- $_ := set $env "PREPROCESSOR_ADDRESS" (include "cardiomesh.dial" (list $root "preprocessor-headless" $values.preprocessor.grpcPort)) }}
{{- $_ := set $env "EXPLAINER_ADDRESS" (include "cardiomesh.dial" (list $root "explainer-headless" $values.explainer.grpcPort)) }}
{{- if $v.identities.existingSecret.name }}
{{- $_ := set $env "IDENTITIES" (printf "/identities/%s" $v.identities.existingSecret.key) }}
{{- end }}
{{- if $values.store.existingSecret.name }}
{{- $_ := set $env "STORE_KEY" "/store/key" }}
{{- end }}
{{- if $values.valkey.enabled }}
{{- $_ := set $env "REDIS_URL" (printf "redis://%s-valkey.%s.svc.%s:6379/0" (include "cardiomesh.fullname" $root) $root.Release.Namespace $values.clusterDomain) }}
{{- end }}
{{- end }}
{{- with $values.telemetry.otlpEndpoint }}
{{- $_ := set $env "OTLP_ENDPOINT" . }}
{{- end }}
{{- if $values.tls.enabled }}
{{- $_ := set $env "TLS_CERTIFICATE" "/tls/tls.crt" }}
{{- $_ := set $env "TLS_KEY" "/tls/tls.key" }}
{{- $_ := set $env "TLS_CA" "/tls/ca.crt" }}
{{- if or (ne $name "gateway") $values.tls.clientCertificates }}
{{- $_ := set $env "TLS_CLIENT_CA" "/tls/ca.crt" }}
{{- end }}
{{- end }}
{{- range $key, $value := $v.settings }}
{{- $_ := set $env (upper $key) (kindIs "slice" $value | ternary (toJson $value) (toString $value)) }}
{{- end }}
{{- range $key, $value := $env }}
- name: CARDIOMESH_{{ $key }}
  value: {{ $value | quote }}
{{- end }}
{{- if and (eq $name "gateway") $values.store.existingSecret.name }}
{{ include "cardiomesh.storeUrl" $root }}
{{- end }}
{{- if and (eq $name "gateway") $values.redis.existingSecret.name }}
- name: CARDIOMESH_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $values.redis.existingSecret.name }}
      key: {{ $values.redis.existingSecret.key }}
{{- end }}
{{- end }}
