/* Classes with __slots__: where their objects keep what, so that C reads and fills them without a call. */

#ifndef PHOENIX_SLOTS_H
#define PHOENIX_SLOTS_H

#include "kernels.h"

enum { SLOTS_MAX = 24 };

typedef struct {
    PyTypeObject *type;
    Py_ssize_t count, offsets[SLOTS_MAX];
} layout;

/* Take a class and the names of its slots, in the order in which C counts them; None. For the bind_... functions. */
PyObject *bind_layout(layout *found, PyObject *cls, PyObject *names);

static inline PyObject **slot_of(const layout *of, PyObject *object, int index)
{
    return (PyObject **)((char *)object + of->offsets[index]);
}

/* Whether a tuple holds nothing that could ever lead back to it; then it is left out of garbage collections from
 * now on, as CPython does by itself, but only with tuples that are of no class of their own. */
int made_plain(PyObject *tuple);

#endif
