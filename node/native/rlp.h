/* RLP written from the last byte to the first, so that a list's size is known when its prefix is. */

#ifndef PHOENIX_RLP_H
#define PHOENIX_RLP_H

#include "kernels.h"

enum { PREFIX_BYTES_MAX = 9 };

typedef struct {
    uint8_t *memory; /* of PyMem_Malloc; the caller frees what is there in the end */
    size_t size, start; /* bytes from `start` on are written */
} backwards;

/* Room for so many bytes more before those that are written; NULL with an exception. */
uint8_t *rlp_room(backwards *out, size_t count);

/* Bytes, a number or a sequence of these; -1 with an exception. */
int rlp_put(backwards *out, PyObject *value);

/* What stands before a string (base 0x80) or list (0xC0) of so many bytes; -1 with an exception. */
int rlp_put_prefix(backwards *out, size_t size, uint8_t base);

/* All that is written, as new bytes. */
static inline PyObject *rlp_written(const backwards *out)
{
    return PyBytes_FromStringAndSize((const char *)out->memory + out->start, (Py_ssize_t)(out->size - out->start));
}

#endif
