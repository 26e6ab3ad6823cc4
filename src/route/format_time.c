// SPDX-License-Identifier: Apache-2.0
#include "route/format_time.h"

#include "route/format_write.h"
#include <time.h>

const char time_format_conversions[] =
    "%Y %y %m %d %e %j %H %I %M %S %p %a %A %b %B %h %u %w %D %F %R %T %c %x %X %t %z %Z %% as in "
    "the C locale, %s seconds since 1970, %f the fraction of the second with 9 digits, %1f to %9f "
    "with so many";

enum { NS_PER_S = 1000000000, ISO_SECOND_LEN = 20 }; // "2006-01-02T15:04:05."

struct time_format {
    bool is_local, is_iso;
    struct str pattern; // checked: each conversion in it is known
};

struct civil {
    int64_t epoch_s;
    unsigned fraction_ns;
    int year;
    unsigned month, day, hour, minute, second; // month, day: from 1
    unsigned weekday, yearday;                 // from 0; 0: Sunday
    int offset_s;                              // east of UTC
    const char *zone;
};

static bool is_conversion(char c)
{
    return c != '\0' && strchr("YymdejHIMSpaAbBhuwDFRTcxXtzZs%f", c);
}

const struct time_format *time_format_compile(struct arena *arena, struct str pattern,
                                              bool is_local, size_t *reterr_offset)
{
    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.ptr[i] != '%')
            continue;
        size_t at = i++;
        bool has_digits = i + 1 < pattern.len && pattern.ptr[i] >= '1' && pattern.ptr[i] <= '9';
        if (has_digits)
            i++;
        if (i >= pattern.len || !is_conversion(pattern.ptr[i]) ||
            (has_digits && pattern.ptr[i] != 'f')) {
            *reterr_offset = at;
            return NULL;
        }
    }
    if (is_local)
        tzset(); // localtime_r need not read TZ itself
    struct time_format *format = ARENA_NEW(arena, struct time_format);
    format->is_local = is_local;
    format->is_iso = pattern.len == 0;
    format->pattern = arena_str(arena, pattern);
    return format;
}

// Days since 1970-01-01 to a date of the Gregorian calendar: years that begin in March make the
// leap day the last one, and 400 years are one cycle of 146097 days.
static void civil_date(struct civil *civil, int64_t days)
{
    int64_t shifted = days + 719468; // from 0000-03-01
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned day_of_era = (unsigned)(shifted - era * 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; // from March
    civil->day = day_of_year - (153 * month + 2) / 5 + 1;
    civil->month = month < 10 ? month + 3 : month - 9;
    civil->year = (int)(era * 400 + year_of_era) + (civil->month <= 2);
    bool is_leap = (civil->year % 4 == 0 && civil->year % 100 != 0) || civil->year % 400 == 0;
    civil->yearday = month < 10 ? day_of_year + 59 + is_leap : day_of_year - 306;
    int64_t weekday = (days + 4) % 7; // 1970-01-01 was a Thursday
    civil->weekday = (unsigned)(weekday < 0 ? weekday + 7 : weekday);
}

// localtime_r takes a lock, so a thread asks it once in a quarter of an hour: zones change their
// offset only on these.
static void local_zone(int64_t epoch_s, int *ret_offset_s, const char **ret_zone)
{
    static _Thread_local struct {
        bool is_set;
        int64_t quarter;
        int offset_s;
        char zone[16];
    } cache;
    int64_t quarter = epoch_s / 900;
    if (!cache.is_set || cache.quarter != quarter) {
        struct tm tm = {0};
        time_t time = (time_t)epoch_s;
        localtime_r(&time, &tm);
        cache.is_set = true;
        cache.quarter = quarter;
        cache.offset_s = (int)tm.tm_gmtoff;
        size_t len = str_of(tm.tm_zone).len;
        len = len < sizeof(cache.zone) ? len : sizeof(cache.zone) - 1;
        if (len > 0)
            memcpy(cache.zone, tm.tm_zone, len);
        cache.zone[len] = '\0';
    }
    *ret_offset_s = cache.offset_s;
    *ret_zone = cache.zone;
}

static void civil_init(struct civil *civil, int64_t wall_ns, bool is_local)
{
    *civil = (struct civil){.zone = "UTC"};
    int64_t fraction = wall_ns % NS_PER_S;
    civil->epoch_s = wall_ns / NS_PER_S - (fraction < 0);
    civil->fraction_ns = (unsigned)(fraction < 0 ? fraction + NS_PER_S : fraction);
    if (is_local)
        local_zone(civil->epoch_s, &civil->offset_s, &civil->zone);
    int64_t shown = civil->epoch_s + civil->offset_s;
    int64_t days = shown / 86400 - (shown % 86400 < 0);
    unsigned rest = (unsigned)(shown - days * 86400);
    civil->hour = rest / 3600;
    civil->minute = rest / 60 % 60;
    civil->second = rest % 60;
    civil_date(civil, days);
}

static void iso_second(const struct civil *civil, char out[ISO_SECOND_LEN])
{
    memcpy(out, "0000-00-00T00:00:00.", ISO_SECOND_LEN);
    write_digits(out, (uint64_t)civil->year, 4);
    write_digits(out + 5, civil->month, 2);
    write_digits(out + 8, civil->day, 2);
    write_digits(out + 11, civil->hour, 2);
    write_digits(out + 14, civil->minute, 2);
    write_digits(out + 17, civil->second, 2);
}

static void add_zone_offset(struct format_out *out, int offset_s)
{
    unsigned minutes = (unsigned)(offset_s < 0 ? -offset_s : offset_s) / 60;
    char text[5] = {offset_s < 0 ? '-' : '+'};
    write_digits(text + 1, minutes / 60, 2);
    write_digits(text + 3, minutes % 60, 2);
    out_add(out, text, sizeof(text));
}

// The default form: within a second only the three digits of the milliseconds change, so the rest
// is kept from the line before. Each thread has its own copy.
static size_t write_iso(int64_t wall_ns, bool is_local, char *out)
{
    static _Thread_local struct {
        bool is_set;
        int64_t second;
        char text[ISO_SECOND_LEN];
        char zone[6];
        uint8_t zone_len;
    } caches[2];
    int64_t second = wall_ns / NS_PER_S - (wall_ns % NS_PER_S < 0);
    unsigned ms = (unsigned)((wall_ns - second * NS_PER_S) / 1000000);
    __typeof__(&caches[0]) cache = &caches[is_local];
    if (!cache->is_set || cache->second != second) {
        struct civil civil;
        civil_init(&civil, wall_ns, is_local);
        iso_second(&civil, cache->text);
        cache->is_set = true;
        cache->second = second;
        struct format_out zone = {.data = cache->zone, .cap = sizeof(cache->zone)};
        if (is_local)
            add_zone_offset(&zone, civil.offset_s);
        else
            out_add_char(&zone, 'Z');
        cache->zone_len = (uint8_t)zone.len;
    }
    memcpy(out, cache->text, ISO_SECOND_LEN);
    write_digits(out + ISO_SECOND_LEN, ms, 3);
    memcpy(out + ISO_SECOND_LEN + 3, cache->zone, cache->zone_len);
    return ISO_SECOND_LEN + 3 + cache->zone_len;
}

static void add_digits(struct format_out *out, uint64_t value, unsigned width)
{
    char digits[9];
    write_digits(digits, value, width);
    for (unsigned i = 0; i < width; i++)
        out_add_char(out, digits[i]);
}

static void add_text(struct format_out *out, const char *text)
{
    out_add(out, text, strlen(text));
}

static void add_pattern(struct format_out *out, const struct civil *civil, struct str pattern);

static void add_name(struct format_out *out, const struct civil *civil, char conversion)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    bool is_day = conversion == 'a' || conversion == 'A';
    struct str name = str_of(is_day ? days[civil->weekday] : months[civil->month - 1]);
    if (conversion != 'A' && conversion != 'B')
        name = str_upto(name, 3);
    out_add(out, name.ptr, name.len);
}

static void add_number(struct format_out *out, const struct civil *civil, char conversion)
{
    unsigned hour12 = civil->hour % 12 == 0 ? 12 : civil->hour % 12;
    switch (conversion) {
    case 'Y':
        add_digits(out, (uint64_t)civil->year, 4);
        break;
    case 'y':
        add_digits(out, (uint64_t)civil->year % 100, 2);
        break;
    case 'm':
        add_digits(out, civil->month, 2);
        break;
    case 'd':
        add_digits(out, civil->day, 2);
        break;
    case 'e':
        if (civil->day < 10)
            out_add_char(out, ' ');
        out_add_number(out, civil->day);
        break;
    case 'j':
        add_digits(out, civil->yearday + 1, 3);
        break;
    case 'H':
        add_digits(out, civil->hour, 2);
        break;
    case 'I':
        add_digits(out, hour12, 2);
        break;
    case 'M':
        add_digits(out, civil->minute, 2);
        break;
    case 'S':
        add_digits(out, civil->second, 2);
        break;
    case 'u':
        add_digits(out, civil->weekday == 0 ? 7 : civil->weekday, 1);
        break;
    case 'w':
        add_digits(out, civil->weekday, 1);
        break;
    case 's':
        out_add_number(out, civil->epoch_s);
        break;
    default:
        break;
    }
}

static void add_conversion(struct format_out *out, const struct civil *civil, char conversion)
{
    switch (conversion) {
    case 'a':
    case 'A':
    case 'b':
    case 'B':
    case 'h':
        add_name(out, civil, conversion);
        break;
    case 'p':
        add_text(out, civil->hour < 12 ? "AM" : "PM");
        break;
    case 'D':
    case 'x':
        add_pattern(out, civil, STR("%m/%d/%y"));
        break;
    case 'F':
        add_pattern(out, civil, STR("%Y-%m-%d"));
        break;
    case 'R':
        add_pattern(out, civil, STR("%H:%M"));
        break;
    case 'T':
    case 'X':
        add_pattern(out, civil, STR("%H:%M:%S"));
        break;
    case 'c':
        add_pattern(out, civil, STR("%a %b %e %H:%M:%S %Y"));
        break;
    case 't': // %n is refused: a line break would make two lines of one
        out_add_char(out, '\t');
        break;
    case 'z':
        add_zone_offset(out, civil->offset_s);
        break;
    case 'Z':
        add_text(out, civil->zone);
        break;
    case 'f':
        add_digits(out, civil->fraction_ns, 9);
        break;
    case '%':
        out_add_char(out, '%');
        break;
    default:
        add_number(out, civil, conversion);
        break;
    }
}

static void add_pattern(struct format_out *out, const struct civil *civil, struct str pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.ptr[i];
        if (c != '%') {
            out_add_char(out, c);
            continue;
        }
        c = pattern.ptr[++i];
        if (c >= '1' && c <= '9') {
            char fraction[9];
            write_digits(fraction, civil->fraction_ns, 9);
            out_add(out, fraction, (size_t)(c - '0'));
            i++; // the 'f'
        } else {
            add_conversion(out, civil, c);
        }
    }
}

size_t time_format_write(const struct time_format *format, int64_t wall_ns, char out[TIME_TEXT_MAX])
{
    if (format->is_iso)
        return write_iso(wall_ns, format->is_local, out);
    struct civil civil;
    civil_init(&civil, wall_ns, format->is_local);
    struct format_out text = {.data = out, .cap = TIME_TEXT_MAX};
    add_pattern(&text, &civil, format->pattern);
    return text.len < TIME_TEXT_MAX ? text.len : TIME_TEXT_MAX;
}
