// SPDX-License-Identifier: Apache-2.0
#include "model/kubernetes.h"
#include "model/names.h"
#include "model/rows.h"

static void check_controller(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    const char *mistake = path_mistake(text_str(*text));
    if (mistake)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%s\": %s", text->ptr, mistake);
}

static void check_parameters(struct reader *reader, const struct node *node, void *value)
{
    const struct ingress_class *class = value;
    const struct text *scope = &class->parameters_scope, *ns = &class->parameters_ns;
    bool is_namespaced = str_is(text_str(*scope), "Namespace");
    if (scope->ptr && !is_namespaced && !str_is(text_str(*scope), "Cluster"))
        report_at(reader, "scope", DIAG_FIELD_VALUE, scope->line, scope->col, NULL,
                  "\"%s\" is not Cluster or Namespace", scope->ptr);
    else if (is_namespaced && ns->len == 0)
        report_at(reader, "namespace", DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
                  "`parameters.scope` is set to 'Namespace'");
    else if (!is_namespaced && ns->len)
        report_at(reader, "namespace", DIAG_FIELD_CONFLICT, ns->line, ns->col, NULL,
                  "`parameters.scope` is set to 'Cluster'");
}

static const struct field parameter_fields[] = {
    {.key = "apiGroup",
     .type = FIELD_TEXT,
     AT(struct ingress_class, parameters_group),
     .check = check_dns_subdomain,
     .doc = "Group of the object with the settings."},
    {.key = "kind",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct ingress_class, parameters_kind),
     .required = "kind is required",
     .doc = "Its kind."},
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct ingress_class, parameters_name),
     .required = "name is required",
     .doc = "Its name."},
    {.key = "scope",
     .type = FIELD_TEXT,
     AT(struct ingress_class, parameters_scope),
     .doc = "`Cluster` (the default) or `Namespace`."},
    {.key = "namespace",
     .type = FIELD_TEXT,
     AT(struct ingress_class, parameters_ns),
     .check = check_dns_label,
     .doc = "Its namespace, with scope Namespace."},
};
static const struct table parameters_table = {
    .name = "IngressClassParametersReference",
    TABLE_FIELDS(parameter_fields),
    .has_is_set = HAS(struct ingress_class, has_parameters),
    .check = check_parameters,
};

static const struct field spec_fields[] = {
    {.key = "controller",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct ingress_class, controller),
     .check = check_controller,
     .doc = "Which controller serves the class; the option `--ingress-controller` is our name."},
    {.key = "parameters",
     .type = FIELD_STRUCT,
     .table = &parameters_table,
     .doc = "Object with settings of the controller. Of a class of ours none is read, which is "
            "reported as `field-not-served`."},
};
static const struct table spec_table = {.name = "IngressClassSpec", TABLE_FIELDS(spec_fields)};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .doc = "What the class is. The annotation `ingressclass.kubernetes.io/is-default-class: "
            "\"true\"` makes it the default."},
};
const struct table ingress_class_table = {
    .name = "IngressClass", TABLE_FIELDS(fields), .bytes = sizeof(struct ingress_class)};
