// SPDX-License-Identifier: Apache-2.0
// One row a diagnostic: id, word (stable: users filter on it), level, sentence for the manual
// (docs/reference/diagnostics.md is printed from here; every row occurs in a golden case).
#pragma once
// clang-format off
#define DIAG_CODES(X) \
    /* reading files */ \
    X(FILE_UNREADABLE,   "file-unreadable",   DIAG_ERROR,   "A file or folder could not be read.") \
    X(YAML_SYNTAX,       "yaml-syntax",       DIAG_ERROR,   "The document is not valid YAML or JSON; the objects in it keep their last good version.") \
    X(NOT_AN_OBJECT,     "not-an-object",     DIAG_ERROR,   "The document has no apiVersion, kind and metadata.name.") \
    X(KIND_NOT_SERVED,   "kind-not-served",   DIAG_NOTE,    "The kind is none that this gateway acts on; the object is passed over.") \
    X(API_VERSION,       "api-version",       DIAG_ERROR,   "The API version of this kind is not served, or is another kind's; the message names the one that is.") \
    X(DUPLICATE_OBJECT,  "duplicate-object",  DIAG_ERROR,   "The same kind, namespace and name occurs twice; the first counts.") \
    X(KEPT_LAST_GOOD,    "kept-last-good",    DIAG_WARNING, "The new version is broken, so the last good one is still served.") \
    /* fields */ \
    X(UNKNOWN_FIELD,     "unknown-field",     DIAG_WARNING, "The API has no such field; it has no effect.") \
    X(FIELD_NOT_SERVED,  "field-not-served",  DIAG_WARNING, "The API has this field, this version of the gateway does not act on it.") \
    X(FIELD_TYPE,        "field-type",        DIAG_ERROR,   "The value has the wrong type (a list where a string is due, ...).") \
    X(FIELD_REQUIRED,    "field-required",    DIAG_ERROR,   "A required field is missing.") \
    X(FIELD_VALUE,       "field-value",       DIAG_ERROR,   "The value is not among the allowed ones, out of range or malformed.") \
    X(FIELD_CONFLICT,    "field-conflict",    DIAG_ERROR,   "Fields that exclude each other are both given.") \
    X(DUPLICATE_NAME,    "duplicate-name",    DIAG_ERROR,   "A name that must be unique within a list is given twice.") \
    X(FIELD_NO_EFFECT,   "field-no-effect",   DIAG_WARNING, "The field has no effect beside what else is given.") \
    /* services and listeners */ \
    X(DANGLING_SERVICE,  "dangling-service",  DIAG_ERROR,   "A route names a Service that does not exist; its requests are answered 503.") \
    X(DANGLING_PORT,     "dangling-port",     DIAG_ERROR,   "A route names a port that its Service does not have; its requests are answered 503.") \
    X(NO_ENDPOINTS,      "no-endpoints",      DIAG_NOTE,    "A routed Service has no EndpointSlice, no Endpoints and no Pod, or a ServiceEntry (its subset) no endpoint; its requests are answered 503.") \
    X(ENDPOINT_ADDRESS,  "endpoint-address",  DIAG_WARNING, "The endpoints of a slice are names, not IP addresses; they get no requests.") \
    X(ENDPOINT_UNIX,     "endpoint-unix",     DIAG_ERROR,   "An endpoint of a ServiceEntry, or a WorkloadEntry, is a Unix domain socket, which is not served; it is left out.") \
    X(EXTERNAL_LOOP,     "external-loop",     DIAG_ERROR,   "A Service of type ExternalName leads back to itself; its requests are answered 503.") \
    X(UPSTREAM_PROTOCOL, "upstream-protocol", DIAG_WARNING, "The backend's port speaks another protocol than the route does, or one that is not served (FastCGI: its requests are answered 502).") \
    X(UPSTREAM_TLS,      "upstream-tls",      DIAG_ERROR,   "TLS to the endpoints cannot be had as it is asked for: a Secret or file is missing or wrong, or the mode is not served; requests are answered 502, connections closed.") \
    X(NODEPORT_RANGE,    "nodeport-range",    DIAG_ERROR,   "A nodePort lies outside 30000-32767; it is not opened.") \
    X(NODEPORT_CONFLICT, "nodeport-conflict", DIAG_ERROR,   "A nodePort is taken by an older Service; it is not opened for this one.") \
    X(NODEPORT_PROTOCOL, "nodeport-protocol", DIAG_WARNING, "A nodePort is for UDP or SCTP; this version serves TCP alone.") \
    X(NODEPORT_UNSET,    "nodeport-unset",    DIAG_NOTE,    "A Service of type NodePort gives no nodePort; none is allocated, so none is opened.") \
    X(LISTENER_CONFLICT, "listener-conflict", DIAG_ERROR,   "The address is taken by a listener of another kind; this one is not opened.") \
    /* certificates */ \
    X(SECRET_MISSING,    "secret-missing",    DIAG_ERROR,   "A Secret that a TLS setting names does not exist.") \
    X(SECRET_KEYS,       "secret-keys",       DIAG_ERROR,   "A Secret that is named for TLS lacks the key, or has not the type, that is needed there.") \
    X(CERTIFICATE_INVALID, "certificate-invalid", DIAG_ERROR, "A certificate, its key, an authority, a revocation list or an OCSP response cannot be used; the hosts that need it go without.") \
    X(CERTIFICATE_TIME,  "certificate-time",  DIAG_WARNING, "A certificate has expired or is not valid yet; it is served all the same.") \
    X(CERTIFICATE_HOST,  "certificate-host",  DIAG_WARNING, "A certificate is not for the host that it is served for.") \
    X(CIPHER_SUITE,      "cipher-suite",      DIAG_WARNING, "A cipher suite is none that can be chosen, or is named twice; it is ignored.") \
    X(TLS_HOST_TAKEN,    "tls-host-taken",    DIAG_WARNING, "An older object brings the certificate of the host, or serves it, on the HTTPS port; this one is ignored.") \
    X(TLS_NOT_SERVED,    "tls-not-served",    DIAG_WARNING, "The part needs TLS, which this version does not serve.") \
    X(HOST_SHARED,       "host-shared",       DIAG_WARNING, "An Ingress and a VirtualService have the same host on one port; the VirtualService's routes come first.") \
    /* Ingress */ \
    X(CLASS_UNKNOWN,     "class-unknown",     DIAG_WARNING, "The Ingress names a class that does not exist; it is not served.") \
    X(CLASS_OTHER,       "class-other",       DIAG_NOTE,    "The Ingress belongs to a class of another controller; it is not served here.") \
    X(CLASS_MISSING,     "class-missing",     DIAG_WARNING, "The Ingress names no class and no class of ours is the default; it is not served.") \
    X(CLASS_CONFLICT,    "class-conflict",    DIAG_WARNING, "The class annotation and spec.ingressClassName differ; the field counts.") \
    X(CLASS_DEFAULTS,    "class-defaults",    DIAG_WARNING, "Several IngressClasses are marked as default; the newest counts.") \
    X(STRICT_PATH,       "strict-path",       DIAG_ERROR,   "A path has characters that its pathType does not allow; the Ingress is not served.") \
    X(DUPLICATE_PATH,    "duplicate-path",    DIAG_WARNING, "An older Ingress owns the same host, path and pathType; this one is ignored.") \
    X(SHADOWED_PATH,     "shadowed-path",     DIAG_WARNING, "Every request that the path takes is taken by another one before it.") \
    X(REGEX_MODE,        "regex-mode",        DIAG_WARNING, "Another Ingress turns all paths of the host into regular expressions without case.") \
    X(RESOURCE_BACKEND,  "resource-backend",  DIAG_ERROR,   "The backend is a resource, not a Service; its requests are answered 503.") \
    X(ANNOTATION_UNKNOWN, "annotation-unknown", DIAG_WARNING, "ingress-nginx has no such annotation; it has no effect.") \
    X(ANNOTATION_VALUE,  "annotation-value",  DIAG_WARNING, "An annotation's value is malformed or out of range; the default is used.") \
    X(ANNOTATION_NOT_SERVED, "annotation-not-served", DIAG_WARNING, "This version does not act on the annotation; it has no effect.") \
    X(ANNOTATION_DENIES, "annotation-denies", DIAG_ERROR,   "The annotation guards the backend and this version does not act on it; the paths are answered 503 rather than left open.") \
    X(ANNOTATION_REFUSED, "annotation-refused", DIAG_ERROR,  "The annotation cannot be accepted; the Ingress is not served.") \
    X(ALIAS_CONFLICT,    "alias-conflict",    DIAG_WARNING, "A server-alias is the host of an Ingress or already an alias; it is ignored.") \
    /* Istio */ \
    X(GATEWAY_NOT_SELECTED, "gateway-not-selected", DIAG_NOTE, "The Gateway's selector does not fit this gateway's labels; it is not served here.") \
    X(GATEWAY_UNBOUND,   "gateway-unbound",   DIAG_WARNING, "No VirtualService binds to the Gateway's server; everything there is answered 404, connections without HTTP are closed.") \
    X(SERVER_CONFLICT,   "server-conflict",   DIAG_ERROR,   "A server's host is another server's already on the same TLS port; the later server is not served.") \
    X(ROUTE_TAKEN,       "route-taken",       DIAG_WARNING, "Connections to the TCP server, or for the server name (SNI), go by an earlier rule; this one gets none.") \
    X(UNKNOWN_GATEWAY,   "unknown-gateway",   DIAG_ERROR,   "A VirtualService names a Gateway that does not exist; it is not served there.") \
    X(HOST_NOT_IN_GATEWAY, "host-not-in-gateway", DIAG_WARNING, "A VirtualService's host is none that the Gateway lists; it is not served there.") \
    X(MESH_ONLY,         "mesh-only",         DIAG_NOTE,    "The VirtualService, or a match block of it, names no Gateway or no port of one; it is for sidecars and has no effect here.") \
    X(GATEWAY_ONLY,      "gateway-only",      DIAG_NOTE,    "Objects are for gateways alone: Gateways, Ingresses, VirtualServices that do not name mesh. In a sidecar they have no effect.") \
    X(MESH_HOST_TAKEN,   "mesh-host-taken",   DIAG_WARNING, "An older VirtualService for sidecars has the host; of this one the rules for HTTP are not used for it, since they are not merged there.") \
    X(SIDECAR_BROKEN,    "sidecar-broken",    DIAG_ERROR,   "The Sidecar in force has a mistake and no good version, so what it may have shut is shut.") \
    X(SIDECAR_CONFLICT,  "sidecar-conflict",  DIAG_WARNING, "Several Sidecars are for the workload, or for its namespace; the oldest counts.") \
    X(SIDECAR_UNKNOWN_HOST, "sidecar-unknown-host", DIAG_WARNING, "A Sidecar's egress lists a host that no Service, ServiceEntry or VirtualService declares there.") \
    X(CAPTURE_CONFLICT,  "capture-conflict",  DIAG_WARNING, "Connections that are told apart by the address dialled alone go to an older host; this one gets none of them.") \
    X(NO_CLUSTER_IP,     "no-cluster-ip",     DIAG_NOTE,    "A Service has TCP ports and no clusterIP in the manifest. A sidecar tells TCP apart by the address dialled, so its connections are taken as declared nowhere.") \
    X(INBOUND_PORT,      "inbound-port",      DIAG_WARNING, "A Service of the workload has a named targetPort whose number no Pod with the workload's labels tells; a sidecar takes that port as declared nowhere.") \
    X(MATCH_NOT_APPLICABLE, "match-not-applicable", DIAG_WARNING, "A match block asks for a port, a Gateway or a source that none of the servers has which the VirtualService is bound to, or the rules are for another kind of server; they never apply here.") \
    X(MATCH_NEVER,       "match-never",       DIAG_WARNING, "A condition that no request can meet: a path that does not begin with /, or that has a query.") \
    X(NOT_EXPORTED,      "not-exported",      DIAG_NOTE,    "exportTo does not include this gateway's namespace; the object has no effect here.") \
    X(UNREACHABLE_ROUTE, "unreachable-route", DIAG_WARNING, "An earlier rule of the VirtualService takes every request; this rule is never reached.") \
    X(ROUTE_INVALID,     "route-invalid",     DIAG_WARNING, "A rule, match block or path is broken; rather than left to what comes behind it, its requests are answered 503, its connections closed.") \
    X(REGEX_INVALID,     "regex-invalid",     DIAG_ERROR,   "A regular expression is malformed; the rule of a VirtualService is answered 503, a path of an Ingress is left out.") \
    X(MATCH_NOT_SERVED,  "match-not-served",  DIAG_ERROR,   "A condition is one that this version cannot test; what the rest of the match block takes is answered 503.") \
    X(HEADER_VALUE,      "header-value",      DIAG_ERROR,   "A header's value holds a malformed command operator; the rule is answered 503.") \
    X(REDIRECT_CODE,     "redirect-code",     DIAG_ERROR,   "The redirect code passes validation but gives no working route; the rule is answered 503.") \
    X(UNKNOWN_SUBSET,    "unknown-subset",    DIAG_ERROR,   "A destination names a subset that no DestinationRule defines; its requests are answered 503.") \
    X(UNKNOWN_DELEGATE,  "unknown-delegate",  DIAG_ERROR,   "A rule delegates to a VirtualService that does not exist; the rule is answered 503.") \
    X(DELEGATE_INVALID,  "delegate-invalid",  DIAG_ERROR,   "A rule delegates to a VirtualService that cannot be a delegate; the rule is answered 503.") \
    X(DELEGATE_CONFLICT, "delegate-conflict", DIAG_WARNING, "A delegate's match contradicts the root's; this pair is left out.") \
    X(DELEGATE_UNUSED,   "delegate-unused",   DIAG_WARNING, "A VirtualService without hosts is nobody's delegate; it has no effect.") \
    X(ENTRY_CONFLICT,    "entry-conflict",    DIAG_WARNING, "A ServiceEntry's host is a Service's, or an older ServiceEntry has it and says otherwise (resolution, protocol of a port); what the older one says counts.") \
    X(ENTRY_ADDRESS,     "entry-address",     DIAG_WARNING, "An older ServiceEntry has the address and the TCP port already; connections go there, this one gets none.") \
    X(ENTRY_NO_ADDRESS,  "entry-no-address",  DIAG_ERROR,   "A route at a gateway leads to a ServiceEntry with resolution NONE: only a sidecar knows the address that was dialled; its requests are answered 503.") \
    X(DOUBLE_TLS,        "double-tls",        DIAG_WARNING, "Connections that are TLS already go to a cluster to which a DestinationRule adds TLS: the server gets TLS within TLS, which most refuse.") \
    X(HTTP_ON_443,       "http-on-443",       DIAG_WARNING, "A ServiceEntry's port that is, or leads to, port 443 is declared HTTP and no DestinationRule originates TLS: plain HTTP goes there, and clients' own TLS is taken for HTTP.") \
    X(SNI_MISSING,       "sni-missing",       DIAG_WARNING, "Connections without HTTP go where a server name must be known, and nothing says one: none is sent (SNI), and no certificate fits.") \
    X(SUBSET_WITHOUT_TLS, "subset-without-tls", DIAG_WARNING, "A route's requests go out in plain text, because its subset, or the rule without subset, lacks the tls that another part of the DestinationRule has.") \
    X(PORT_DROPS_TLS,    "port-drops-tls",    DIAG_WARNING, "portLevelSettings of a DestinationRule have no tls, so the tls of the policy around them does not hold for the port.") \
    X(DR_DUPLICATE,      "dr-duplicate",      DIAG_WARNING, "Another DestinationRule of the host already sets this; the first counts.") \
    X(DR_NAMESPACE,      "dr-namespace",      DIAG_WARNING, "The DestinationRule is in a namespace where it is not looked for.") \
    X(DR_UNKNOWN_HOST,   "dr-unknown-host",   DIAG_WARNING, "The DestinationRule's host is no Service.") \
    X(DR_UNKNOWN_PORT,   "dr-unknown-port",   DIAG_WARNING, "portLevelSettings of a DestinationRule are for a port that its Service does not have; they have no effect.")
// clang-format on
