// SPDX-License-Identifier: Apache-2.0
// The command operators of format strings, inside route/format*: one row each. Parsing, evaluation
// and the manual's table all read the row.
#pragma once
#include "route/format.h"
#include "route/format_time.h"

// How an operator gets its value; the plain ones need no function of their own.
enum operator_kind {
    OPERATOR_REFUSED,  // known, not served: an error that says why
    OPERATOR_ABSENT,   // never has a value in this gateway
    OPERATOR_CONSTANT, // known when the format is parsed
    OPERATOR_TEXT,     // the struct str at `offset`; empty: absent
    OPERATOR_COUNT,    // the uint64_t at `offset`
    OPERATOR_ADDRESS,  // the const struct address * at `offset`
    OPERATOR_PORT,
    OPERATOR_REQUEST_HEADER,
    OPERATOR_RESPONSE_HEADER,
    OPERATOR_TRAILER,
    OPERATOR_TIME, // the wall clock at `offset`
    OPERATOR_CALL, // `evaluate`
};

enum operator_type { TYPE_STRING, TYPE_NUMBER };

// A header as an argument names it; pseudo headers are fields of the request_info.
struct header_argument {
    struct str name; // lower case; empty: not given
    uint8_t id;      // enum header_id
    enum header_source {
        SOURCE_LIST,
        SOURCE_FIELD,      // the struct str at `offset`
        SOURCE_STATUS,     // :status
        SOURCE_REQUEST_ID, // patches, then the id that the proxy gave
    } source;
    uint16_t offset;
};

struct operation;
struct value {
    struct str text; // borrowed from the request_info, the operation or the scratch
    int64_t number;  // TYPE_NUMBER
    bool is_number;
};

enum { SCRATCH_BYTES = 16384 }; // the longest value an operator can make up

// One operator with its arguments, and the literal text in front of it.
struct operation {
    struct str literal;
    uint8_t kind; // enum operator_kind; the row's, unless it became known at parse time
    uint8_t mode; // format.c's
    uint16_t offset;
    uint32_t length_max; // cut there; UINT32_MAX: not
    uint32_t index;      // position in the format
    const struct operator* row;
    union {
        struct {
            struct header_argument first, second;
            bool cuts_query;
        } header;
        const struct time_format *time;
        struct {
            uint16_t begin, end; // offsets of int64_t points
            uint32_t unit_ns;
        } duration;
        struct {
            unsigned choice, choice2;
        };
        struct {
            bool has_mask;
            uint8_t mask;
        };
        struct str text; // constant, or a name
        struct {
            const struct operation *operations;
            size_t n_operations;
        } coalesce;
    };
};

typedef bool (*operator_evaluate_fn)(const struct operation *operation,
                                     const struct request_info *info, char *scratch,
                                     struct value *ret);
// false: `error->message` says what is wrong; offset stays the operator's.
typedef bool (*operator_parse_fn)(struct arena *arena, struct str argument,
                                  struct operation *operation, struct format_error *error);

enum argument_need { ARGUMENT_NONE, ARGUMENT_OPTIONAL, ARGUMENT_REQUIRED };

struct operator
{
    const char *name;
    const char *form; // of the argument, as the manual prints it: "(X?Y)"
    enum argument_need need;
    bool takes_length;
    enum operator_type type;
    enum operator_kind kind;
    uint16_t offset;
    operator_parse_fn parse;       // NULL: takes no argument
    operator_evaluate_fn evaluate; // OPERATOR_CALL
    bool dash_in_json; // absent is "-" there as well, where the others give null (as in Envoy)
    const char *doc;   // REFUSED: why not
};

extern const struct operator operator_rows[];
extern const size_t n_operator_rows;

// The operator at the start of `text`, which is behind the opening '%'. Fills *ret and returns the
// bytes used, the closing '%' included; 0: *reterr_error (its offset is the caller's).
size_t operator_parse(struct arena *arena, struct str text, struct operation *ret,
                      struct format_error *reterr_error);
// An operator of that name with the argument and length limit given apart (COALESCE).
bool operator_bind(struct arena *arena, struct str name, bool has_argument, struct str argument,
                   uint32_t length_max, struct operation *ret, struct format_error *reterr_error);
// false: absent. `scratch` has SCRATCH_BYTES and holds the value until the next call.
bool operation_evaluate(const struct operation *operation, const struct request_info *info,
                        char *scratch, struct value *ret);

void format_error_set(struct format_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
