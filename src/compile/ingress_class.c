// SPDX-License-Identifier: Apache-2.0
// Which Ingresses are ours. With no IngressClass at all every Ingress is (--ingress-class narrows
// it); otherwise those of a class that names our controller. A class with mistakes counts as one:
// it is nobody's.
#include "compile/ingress.h"

static bool is_ours(const struct compiler *c, const struct object *class)
{
    return str_equal(text_str(class->ingress_class->controller), c->options->ingress_controller) &&
           (c->options->ingress_class.len == 0 ||
            str_equal(class->name, c->options->ingress_class));
}

static void report_parameters(struct compiler *c, const struct object *class)
{
    const struct text *kind = &class->ingress_class->parameters_kind;
    complain(c, DIAG_FIELD_NOT_SERVED, class, kind->line, kind->col, STR("spec.parameters"),
             "is not served yet: no settings are read from %s \"%s\"", kind->ptr,
             class->ingress_class->parameters_name.ptr);
}

struct class_choice ingress_class_choice(struct compiler *c)
{
    struct class_choice choice = {.has_classes =
                                      store_was_given_kind(c->store, KIND_INGRESS_CLASS)};
    size_t n = 0;
    const struct object *const *classes = store_all(c->store, KIND_INGRESS_CLASS, &n);
    for (size_t i = 0; i < n; i++) {
        if (classes[i]->ingress_class->has_parameters && is_ours(c, classes[i]))
            report_parameters(c, classes[i]);
        const struct text *mark = text_map_find(&classes[i]->annotations,
                                                STR("ingressclass.kubernetes.io/is-default-class"));
        if (!mark || !str_is(text_str(*mark), "true"))
            continue;
        if (choice.default_class)
            complain(c, DIAG_CLASS_DEFAULTS, classes[i], mark->line, mark->col,
                     STR("metadata.annotations[ingressclass.kubernetes.io/is-default-class]"),
                     "%.*s is marked as default, too; the newer one counts",
                     STR_ARG(choice.default_class->title));
        choice.default_class = classes[i];
    }
    return choice;
}

static void report_other(struct compiler *c, const struct object *ingress, uint32_t line,
                         uint32_t col, struct str path, const struct object *class)
{
    bool is_narrowed =
        str_equal(text_str(class->ingress_class->controller), c->options->ingress_controller);
    struct diag *diag = complain(c, DIAG_CLASS_OTHER, ingress, line, col, path,
                                 "%.*s is of controller \"%s\"; this gateway answers to \"%.*s\"%s",
                                 STR_ARG(class->title), class->ingress_class->controller.ptr,
                                 STR_ARG(c->options->ingress_controller),
                                 is_narrowed ? ", with --ingress-class another class of it" : "");
    if (!is_narrowed)
        diag_hint(c->diags, diag, "--ingress-controller %s would serve it",
                  class->ingress_class->controller.ptr);
}

static bool names_class(struct compiler *c, const struct class_choice *choice,
                        const struct object *ingress, const struct text *name, struct str path,
                        bool is_legacy)
{
    struct str wanted = text_str(*name);
    // The legacy annotation is compared as a plain string: no IngressClass object is needed.
    if ((is_legacy || !choice->has_classes) && c->options->ingress_class.len > 0 &&
        str_equal(wanted, c->options->ingress_class))
        return true;
    if (!choice->has_classes && c->options->ingress_class.len == 0)
        return true;
    const struct object *class = store_find(c->store, KIND_INGRESS_CLASS, STR_NONE, wanted);
    if (class && is_ours(c, class))
        return true;
    if (class) {
        report_other(c, ingress, name->line, name->col, path, class);
        return false;
    }
    if (!choice->has_classes) {
        complain(c, DIAG_CLASS_UNKNOWN, ingress, name->line, name->col, path,
                 "class \"%s\" is not \"%.*s\", which --ingress-class asks for", name->ptr,
                 STR_ARG(c->options->ingress_class));
        return false;
    }
    bool is_broken = store_was_given(c->store, KIND_INGRESS_CLASS, STR_NONE, wanted);
    struct diag *diag = complain(
        c, DIAG_CLASS_UNKNOWN, ingress, name->line, name->col, path,
        is_broken ? "IngressClass \"%s\" is broken" : "no IngressClass \"%s\" exists", name->ptr);
    if (!is_broken)
        hint_object(c, diag, KIND_INGRESS_CLASS, STR_NONE, wanted, NULL);
    return false;
}

static bool has_no_class(struct compiler *c, const struct class_choice *choice,
                         const struct object *ingress)
{
    uint32_t line = ingress->name_line, col = ingress->name_col;
    struct str path = STR("spec.ingressClassName");
    if (choice->default_class) {
        if (is_ours(c, choice->default_class))
            return true;
        report_other(c, ingress, line, col, path, choice->default_class);
        return false;
    }
    if (!choice->has_classes && c->options->ingress_class.len == 0)
        return true;
    struct diag *diag = complain(c, DIAG_CLASS_MISSING, ingress, line, col, path,
                                 "names no class, and no IngressClass is the default");
    diag_hint(c->diags, diag,
              "set it, or mark a class with ingressclass.kubernetes.io/is-default-class: \"true\"");
    return false;
}

bool ingress_is_selected(struct compiler *c, const struct class_choice *choice,
                         const struct object *ingress)
{
    const struct text *field = &ingress->ingress->class_name;
    const struct text *legacy =
        text_map_find(&ingress->annotations, STR("kubernetes.io/ingress.class"));
    struct str legacy_path = STR("metadata.annotations[kubernetes.io/ingress.class]");
    if (field->len > 0 && legacy && !str_equal(text_str(*field), text_str(*legacy)))
        complain(c, DIAG_CLASS_CONFLICT, ingress, legacy->line, legacy->col, legacy_path,
                 "\"%s\" differs from spec.ingressClassName \"%s\"", legacy->ptr, field->ptr);
    if (field->len > 0)
        return names_class(c, choice, ingress, field, STR("spec.ingressClassName"), false);
    if (legacy && legacy->len > 0)
        return names_class(c, choice, ingress, legacy, legacy_path, true);
    return has_no_class(c, choice, ingress);
}
