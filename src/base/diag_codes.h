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
    X(API_VERSION,       "api-version",       DIAG_ERROR,   "The API version of this kind is not served; the message names the one that is.") \
    X(DUPLICATE_OBJECT,  "duplicate-object",  DIAG_ERROR,   "The same kind, namespace and name occurs twice; the first counts.") \
    X(KEPT_LAST_GOOD,    "kept-last-good",    DIAG_WARNING, "The new version is broken, so the last good one is still served.") \
    /* fields */ \
    X(UNKNOWN_FIELD,     "unknown-field",     DIAG_WARNING, "The API has no such field; it has no effect.") \
    X(FIELD_NOT_SERVED,  "field-not-served",  DIAG_WARNING, "The API has this field, this version of the gateway does not act on it.") \
    X(FIELD_TYPE,        "field-type",        DIAG_ERROR,   "The value has the wrong type (a list where a string is due, ...).") \
    X(FIELD_REQUIRED,    "field-required",    DIAG_ERROR,   "A required field is missing.") \
    X(FIELD_VALUE,       "field-value",       DIAG_ERROR,   "The value is not among the allowed ones, out of range or malformed.") \
    X(FIELD_CONFLICT,    "field-conflict",    DIAG_ERROR,   "Fields that exclude each other are both given.") \
    X(DUPLICATE_NAME,    "duplicate-name",    DIAG_ERROR,   "A name that must be unique within a list is given twice.")
// clang-format on
