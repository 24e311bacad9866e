/* Which environment variables the program gets to see. */
#ifndef NAUTILUS_ENVIRONMENT_H
#define NAUTILUS_ENVIRONMENT_H

/** Whether the entry `NAME=value` is passed on; everything not listed is dropped. */
int environment_keeps(const char *entry);

#endif
