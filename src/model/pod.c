// SPDX-License-Identifier: Apache-2.0
#include "model/kubernetes.h"
#include "model/rows.h"

static const struct field port_fields[] = {
    {.key = "containerPort",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct container_port, container_port),
     .min = 1,
     .max = 65535,
     .doc = "Port that the container listens on."},
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct container_port, name),
     .check = check_port_name,
     .doc = "Name that a Service's targetPort may give."},
    {.key = "protocol",
     .type = FIELD_WORD,
     AT(struct container_port, transport),
     .words = transport_words,
     .doc = "Transport protocol."},
    IRRELEVANT("hostIP", "Address of the node that hostPort is opened on."),
    IRRELEVANT("hostPort", "Port of the node that leads here."),
};
static const struct table port_table = {
    .name = "ContainerPort", TABLE_FIELDS(port_fields), .bytes = sizeof(struct container_port)};

static const struct field container_fields[] = {
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     AT(struct container, name),
     .doc = "Name of the container."},
    {.key = "ports",
     .type = FIELD_LIST,
     LIST_AT(struct container, ports, n_ports),
     .table = &port_table,
     .doc = "Ports with names, for Services that name them."},
    IRRELEVANT("args", "Arguments of the command."),
    IRRELEVANT("command", "Command."),
    IRRELEVANT("env", "Environment."),
    IRRELEVANT("envFrom", "Environment from other objects."),
    IRRELEVANT("image", "Image."),
    IRRELEVANT("imagePullPolicy", "When the image is fetched."),
    IRRELEVANT("lifecycle", "Hooks."),
    IRRELEVANT("livenessProbe", "When the container is restarted."),
    IRRELEVANT("readinessProbe", "When the Pod is ready; its result is in status.conditions."),
    IRRELEVANT("resizePolicy", "What happens when resources change."),
    IRRELEVANT("resources", "Resources."),
    IRRELEVANT("restartPolicy", "When the container is started again."),
    IRRELEVANT("restartPolicyRules", "The same by exit code."),
    IRRELEVANT("securityContext", "Privileges."),
    IRRELEVANT("startupProbe", "When the container has started."),
    IRRELEVANT("stdin", "Whether it has a standard input."),
    IRRELEVANT("stdinOnce", "Whether standard input closes after the first use."),
    IRRELEVANT("terminationMessagePath", "Where its last words are."),
    IRRELEVANT("terminationMessagePolicy", "How they are taken."),
    IRRELEVANT("tty", "Whether it has a terminal."),
    IRRELEVANT("volumeDevices", "Block devices."),
    IRRELEVANT("volumeMounts", "Volumes."),
    IRRELEVANT("workingDir", "Working directory."),
};
static const struct table container_table = {
    .name = "Container", TABLE_FIELDS(container_fields), .bytes = sizeof(struct container)};

static const struct field spec_fields[] = {
    {.key = "containers",
     .type = FIELD_LIST,
     .flags = FIELD_REQUIRED,
     LIST_AT(struct pod, containers, n_containers),
     .table = &container_table,
     .doc = "Containers, of which the ports count."},
    {.key = "hostNetwork",
     .type = FIELD_FLAG,
     AT(struct pod, host_network),
     .doc = "The Pod has the node's address."},
    {.key = "hostname",
     .type = FIELD_TEXT,
     AT(struct pod, hostname),
     .check = check_dns_label,
     .doc = "Name of the Pod within the subdomain."},
    {.key = "subdomain",
     .type = FIELD_TEXT,
     AT(struct pod, subdomain),
     .check = check_dns_label,
     .doc = "Name of the headless Service that knows the Pod by its hostname."},
    IRRELEVANT("activeDeadlineSeconds", "How long the Pod may live."),
    IRRELEVANT("affinity", "Where it should run."),
    IRRELEVANT("automountServiceAccountToken", "Whether it gets a token."),
    IRRELEVANT("dnsConfig", "Its resolver."),
    IRRELEVANT("dnsPolicy", "Its resolver."),
    IRRELEVANT("enableServiceLinks", "Whether Services are in its environment."),
    IRRELEVANT("ephemeralContainers", "Containers for debugging."),
    IRRELEVANT("hostAliases", "Its file of hosts."),
    IRRELEVANT("hostIPC", "Whether it shares the node's IPC."),
    IRRELEVANT("hostPID", "Whether it sees the node's processes."),
    IRRELEVANT("hostUsers", "Whether it has the node's users."),
    IRRELEVANT("hostnameOverride", "What it believes to be called."),
    IRRELEVANT("imagePullSecrets", "How images are fetched."),
    IRRELEVANT("initContainers", "Containers that run before the others."),
    IRRELEVANT("nodeName", "Node that it runs on."),
    IRRELEVANT("nodeSelector", "Nodes that it may run on."),
    IRRELEVANT("os", "Its operating system."),
    IRRELEVANT("overhead", "Resources that it costs by itself."),
    IRRELEVANT("preemptionPolicy", "Whether it may displace others."),
    IRRELEVANT("priority", "Its priority."),
    IRRELEVANT("priorityClassName", "Its priority by name."),
    IRRELEVANT("readinessGates", "Further conditions of readiness; the result is in status."),
    IRRELEVANT("resourceClaims", "Devices."),
    IRRELEVANT("resources", "Resources of all containers."),
    IRRELEVANT("restartPolicy", "When containers are started again."),
    IRRELEVANT("runtimeClassName", "What runs it."),
    IRRELEVANT("schedulerName", "What places it."),
    IRRELEVANT("schedulingGates", "What it waits for before it is placed."),
    IRRELEVANT("schedulingGroup", "What it is placed together with."),
    IRRELEVANT("securityContext", "Privileges."),
    IRRELEVANT("serviceAccount", "Its account, by the old name."),
    IRRELEVANT("serviceAccountName", "Its account."),
    IRRELEVANT("setHostnameAsFQDN", "What it believes to be called."),
    IRRELEVANT("shareProcessNamespace", "Whether its containers see each other's processes."),
    IRRELEVANT("terminationGracePeriodSeconds", "How long it may take to end."),
    IRRELEVANT("tolerations", "Nodes that it bears."),
    IRRELEVANT("topologySpreadConstraints", "How its kind is spread."),
    IRRELEVANT("volumes", "Volumes."),
};
static const struct table spec_table = {.name = "PodSpec", TABLE_FIELDS(spec_fields)};

struct condition {
    struct text type, status;
};
static const struct field condition_fields[] = {
    {.key = "type",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_BORROWED,
     AT(struct condition, type),
     .doc = "Name of the condition; `Ready` counts."},
    {.key = "status",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_BORROWED,
     AT(struct condition, status),
     .doc = "`True`, `False` or `Unknown`."},
    IRRELEVANT("lastProbeTime", "When it was looked at."),
    IRRELEVANT("lastTransitionTime", "When it changed."),
    IRRELEVANT("message", "Why, for people."),
    IRRELEVANT("observedGeneration", "Which version of spec it is about."),
    IRRELEVANT("reason", "Why, for programs."),
};
static const struct table condition_table = {.name = "PodCondition",
                                             TABLE_FIELDS(condition_fields)};

// A Pod that tells no conditions (one from a file) counts as ready; one that tells some without
// Ready has not come that far.
static void read_conditions(struct reader *reader, const struct field *field,
                            const struct node *node, void *value)
{
    struct flag *ready = value;
    if (!expect_type(reader, node, NODE_LIST, "a list"))
        return;
    struct step step = {.parent = reader->step, .kind = STEP_INDEX};
    reader->step = &step;
    for (uint32_t i = 0; i < node->list.n_items; i++) {
        struct condition condition = {0};
        step.index = i;
        ready->value = ready->value && ready->is_set;
        ready->is_set = true;
        read_struct(reader, &condition_table, node->list.items[i], &condition);
        if (condition.type.ptr && str_is(text_str(condition.type), "Ready"))
            ready->value = str_is(text_str(condition.status), "True");
    }
    reader->step = step.parent;
}

static const struct field ip_fields[] = {
    {.key = "ip",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .check = check_ip,
     .doc = "Address."},
};
static const struct table ip_table = {.name = "PodIP", TABLE_FIELDS(ip_fields)};

static void read_pod_ips(struct reader *reader, const struct field *field, const struct node *node,
                         void *value)
{
    struct texts *texts = value;
    if (!expect_type(reader, node, NODE_LIST, "a list"))
        return;
    texts->items = reader_alloc(reader, node->list.n_items * sizeof(*texts->items));
    struct step step = {.parent = reader->step, .kind = STEP_INDEX};
    reader->step = &step;
    for (uint32_t i = 0; i < node->list.n_items; i++) {
        step.index = i;
        read_struct(reader, &ip_table, node->list.items[i], &texts->items[texts->n]);
        texts->n += texts->items[texts->n].ptr != NULL;
    }
    reader->step = step.parent;
}

static const struct field status_fields[] = {
    {.key = "podIP",
     .type = FIELD_TEXT,
     AT(struct pod, pod_ip),
     .check = check_ip,
     .doc = "Address of the Pod. A Pod that a Service selects needs it here, or in podIPs."},
    {.key = "podIPs",
     .type = FIELD_CUSTOM,
     AT(struct pod, pod_ips),
     .table = &ip_table,
     .read = read_pod_ips,
     .doc = "Addresses of both families."},
    {.key = "phase",
     .type = FIELD_TEXT,
     AT(struct pod, phase),
     .doc = "Pods in phase Succeeded or Failed are no endpoints."},
    {.key = "conditions",
     .type = FIELD_CUSTOM,
     AT(struct pod, ready),
     .table = &condition_table,
     .read = read_conditions,
     .doc =
         "Condition Ready says whether the Pod takes traffic; a Pod without any condition does."},
    IRRELEVANT("allocatedResources", "Resources that it got."),
    IRRELEVANT("containerStatuses", "Each container's state."),
    IRRELEVANT("ephemeralContainerStatuses", "Each debugging container's state."),
    IRRELEVANT("extendedResourceClaimStatus", "Devices that it got."),
    IRRELEVANT("hostIP", "Address of the node."),
    IRRELEVANT("hostIPs", "Addresses of the node."),
    IRRELEVANT("initContainerStatuses", "Each init container's state."),
    IRRELEVANT("message", "Why it is in this state, for people."),
    IRRELEVANT("nominatedNodeName", "Node that is being freed for it."),
    IRRELEVANT("observedGeneration", "Which version of spec the status is about."),
    IRRELEVANT("qosClass", "How soon it is evicted."),
    IRRELEVANT("reason", "Why it is in this state, for programs."),
    IRRELEVANT("resize", "Change of resources under way."),
    IRRELEVANT("resourceClaimStatuses", "Devices that it got."),
    IRRELEVANT("resources", "Resources that it got."),
    IRRELEVANT("startTime", "When it started."),
};
static const struct table status_table = {.name = "PodStatus", TABLE_FIELDS(status_fields)};

static void check_pod(struct reader *reader, const struct node *node, void *value)
{
    struct pod *pod = value;
    if (!pod->ready.is_set)
        pod->ready.value = true;
}

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .doc = "What runs in the Pod."},
    {.key = "status", .type = FIELD_STRUCT, .table = &status_table, .doc = "What became of it."},
};
const struct table pod_table = {
    .name = "Pod", TABLE_FIELDS(fields), .bytes = sizeof(struct pod), .check = check_pod};
