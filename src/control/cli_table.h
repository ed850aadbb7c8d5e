// Lists of JSON objects as people and spreadsheets want them.
#ifndef RINGWAY_CONTROL_CLI_TABLE_H
#define RINGWAY_CONTROL_CLI_TABLE_H

#include <stdio.h>

#include "base/span.h"
#include "control/cli.h"

struct cli_column {
    const char *title;
    const char *path; // "limits.rpm"
    bool right; // a number
};

// rows: JSON arrays of objects, one after the other as pages. CLI_TABLE aligns, CLI_CSV quotes (RFC 4180).
void cli_table_print(FILE *out, enum cli_output as, const struct cli_column *columns, uint32_t column_count,
                     const struct span *pages, uint32_t page_count);
// A JSON value as text, in malloc'd memory: strings without their quotes, lists with commas, objects as k=v. What would move a
// terminal's cursor is a question mark.
char *cli_text(struct span value);
// One object: a member a line, or with CLI_CSV a line of names and one of values.
void cli_object_print(FILE *out, enum cli_output as, struct span object);

#endif
