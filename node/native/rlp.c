/* Strict RLP (Yellow Paper, appendix B). What is refused here is refused by node.primitives.rlp too, in words. */

#include "rlp.h"

/* --- encoding */

uint8_t *rlp_room(backwards *out, size_t count)
{
    if (out->start < count) {
        size_t written = out->size - out->start;
        if (count > (size_t)PY_SSIZE_T_MAX / 4 || out->size > (size_t)PY_SSIZE_T_MAX / 4)
            return (uint8_t *)PyErr_NoMemory();
        size_t size = 2 * out->size + count;
        uint8_t *memory = PyMem_Malloc(size);
        if (memory == NULL)
            return (uint8_t *)PyErr_NoMemory();
        memcpy(memory + size - written, out->memory + out->start, written);
        PyMem_Free(out->memory);
        *out = (backwards){memory, size, size - written};
    }
    out->start -= count;
    return out->memory + out->start;
}

int rlp_put_prefix(backwards *out, size_t size, uint8_t base)
{
    uint8_t prefix[PREFIX_BYTES_MAX];
    size_t at = sizeof prefix;
    if (size < 56) {
        prefix[--at] = (uint8_t)(base + size);
    } else {
        uint8_t width = 0;
        for (; size; size >>= 8, width++)
            prefix[--at] = (uint8_t)size;
        prefix[--at] = (uint8_t)(base + 55 + width);
    }
    uint8_t *place = rlp_room(out, sizeof prefix - at);
    if (place == NULL)
        return -1;
    memcpy(place, prefix + at, sizeof prefix - at);
    return 0;
}

static int put_bytes(backwards *out, const uint8_t *data, size_t size)
{
    uint8_t *place = rlp_room(out, size);
    if (place == NULL)
        return -1;
    if (size)
        memcpy(place, data, size);
    return 0;
}

static int put_string(backwards *out, const uint8_t *data, size_t size)
{
    if (put_bytes(out, data, size) < 0)
        return -1;
    return size == 1 && data[0] < 0x80 ? 0 : rlp_put_prefix(out, size, 0x80);
}

static int put_number(backwards *out, PyObject *number)
{
    int sign = _PyLong_Sign(number);
    if (sign < 0) {
        PyErr_SetString(PyExc_OverflowError, "can't convert negative int to unsigned");
        return -1;
    }
    size_t size = sign ? (size_t)(_PyLong_NumBits(number) + 7) / 8 : 0;
    uint8_t *place = rlp_room(out, size);
    if (place == NULL)
        return -1;
    if (size && number_bytes(number, place, size) < 0)
        return -1;
    return size == 1 && place[0] < 0x80 ? 0 : rlp_put_prefix(out, size, 0x80);
}

static int put_list(backwards *out, PyObject *value)
{
    PyObject *items = PySequence_Fast(value, "RLP is made of bytes, numbers and sequences of these");
    if (items == NULL)
        return -1;
    int result = -1;
    size_t before = out->size - out->start;
    if (Py_EnterRecursiveCall(" while encoding RLP") == 0) {
        result = 0;
        for (Py_ssize_t i = PySequence_Fast_GET_SIZE(items); result == 0 && i > 0; i--)
            result = rlp_put(out, PySequence_Fast_GET_ITEM(items, i - 1));
        Py_LeaveRecursiveCall();
    }
    Py_DECREF(items);
    return result < 0 ? -1 : rlp_put_prefix(out, out->size - out->start - before, 0xC0);
}

int rlp_put(backwards *out, PyObject *value)
{
    if (PyBytes_Check(value))
        return put_string(out, (const uint8_t *)PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
    if (PyLong_Check(value))
        return put_number(out, value);
    if (PyList_Check(value) || PyTuple_Check(value))
        return put_list(out, value);
    if (PyObject_CheckBuffer(value)) {
        Py_buffer view;
        if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0)
            return -1;
        int result = put_string(out, view.buf, (size_t)view.len);
        PyBuffer_Release(&view);
        return result;
    }
    if (PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "RLP has no text");
        return -1;
    }
    return put_list(out, value);
}

static PyObject *py_rlp_encode(PyObject *self, PyObject *value)
{
    (void)self;
    enum { FIRST_BYTES = 512 };
    backwards out = {PyMem_Malloc(FIRST_BYTES), FIRST_BYTES, FIRST_BYTES};
    if (out.memory == NULL)
        return PyErr_NoMemory();
    PyObject *result = rlp_put(&out, value) == 0 ? rlp_written(&out) : NULL;
    PyMem_Free(out.memory);
    return result;
}

/* A list of envelopes (EIP-2718): typed ones are strings in it, and the legacy form is a list already. */
static PyObject *py_rlp_envelopes(PyObject *self, PyObject *given)
{
    (void)self;
    PyObject *envelopes = PySequence_Tuple(given), *result = NULL;
    if (envelopes == NULL)
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(envelopes);
    size_t size = PREFIX_BYTES_MAX;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *envelope = PyTuple_GET_ITEM(envelopes, i);
        if (!PyBytes_Check(envelope)) {
            PyErr_SetString(PyExc_TypeError, "envelopes are bytes");
            break;
        }
        size += (size_t)PyBytes_GET_SIZE(envelope) + PREFIX_BYTES_MAX;
    }
    backwards out = {PyErr_Occurred() ? NULL : PyMem_Malloc(size), size, size};
    int done = out.memory != NULL;
    if (!done && !PyErr_Occurred())
        PyErr_NoMemory();
    for (Py_ssize_t i = count; done && i > 0; i--) {
        PyObject *envelope = PyTuple_GET_ITEM(envelopes, i - 1);
        const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(envelope);
        size_t bytes = (size_t)PyBytes_GET_SIZE(envelope);
        int is_list = bytes > 0 && data[0] >= 0xC0;
        done = (is_list ? put_bytes(&out, data, bytes) : put_string(&out, data, bytes)) == 0;
    }
    if (done && rlp_put_prefix(&out, out.size - out.start, 0xC0) == 0)
        result = rlp_written(&out);
    PyMem_Free(out.memory);
    Py_DECREF(envelopes);
    return result;
}

/* --- decoding */

int rlp_item(const uint8_t *data, size_t position, size_t limit, rlp_bounds *item)
{
    if (position >= limit)
        return 0;
    uint8_t prefix = data[position];
    size_t start = position + 1, size = 0;
    item->is_list = prefix >= 0xC0;
    if (prefix < 0x80) {
        start = position;
        size = 1;
    } else if (prefix < 0xB8 || (prefix >= 0xC0 && prefix < 0xF8)) {
        size = prefix - (item->is_list ? 0xC0 : 0x80);
        if (prefix == 0x81 && start < limit && data[start] < 0x80)
            return 0;
    } else {
        size_t width = prefix - (item->is_list ? 0xF7 : 0xB7);
        if (width > limit - start || width > sizeof size || data[start] == 0)
            return 0;
        for (size_t i = 0; i < width; i++)
            size = size << 8 | data[start + i];
        start += width;
        if (size < 56)
            return 0;
    }
    if (size > limit - start)
        return 0;
    item->start = start;
    item->end = start + size;
    return 1;
}

typedef struct {
    const uint8_t *data;
    Py_ssize_t depth_max, lists_left;
} decoding;

static PyObject *run_of(decoding *d, size_t position, size_t end, Py_ssize_t depth)
{
    d->lists_left--;
    if (depth > d->depth_max || d->lists_left < 0) {
        PyErr_SetString(PyExc_ValueError, "RLP of too many lists, or nested too deeply");
        return NULL;
    }
    PyObject *items = PyList_New(0);
    while (items != NULL && position < end) {
        rlp_bounds item;
        PyObject *value = NULL;
        if (!rlp_item(d->data, position, end, &item))
            PyErr_SetString(PyExc_ValueError, "no RLP");
        else if (item.is_list)
            value = run_of(d, item.start, item.end, depth + 1);
        else
            value = PyBytes_FromStringAndSize((const char *)d->data + item.start, (Py_ssize_t)(item.end - item.start));
        if (value == NULL || PyList_Append(items, value) < 0)
            Py_CLEAR(items);
        Py_XDECREF(value);
        if (items != NULL)
            position = item.end;
    }
    return items;
}

static PyObject *py_rlp_decode(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer input;
    Py_ssize_t depth_max, lists_max;
    if (!PyArg_ParseTuple(args, "y*nn", &input, &depth_max, &lists_max))
        return NULL;
    PyObject *items = NULL, *result = NULL;
    if (depth_max > 256) {
        PyErr_SetString(PyExc_ValueError, "nested deeper than this is not decoded in C");
    } else {
        decoding d = {input.buf, depth_max, lists_max};
        items = run_of(&d, 0, (size_t)input.len, 0);
    }
    if (items != NULL && PyList_GET_SIZE(items) == 1) {
        result = PyList_GET_ITEM(items, 0);
        Py_INCREF(result);
    } else if (items != NULL) {
        PyErr_SetString(PyExc_ValueError, "one item is expected");
    }
    Py_XDECREF(items);
    PyBuffer_Release(&input);
    return result;
}

/* The items of a list, each still encoded. */
static PyObject *py_rlp_split(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer input;
    Py_ssize_t count_max;
    if (!PyArg_ParseTuple(args, "y*n", &input, &count_max))
        return NULL;
    const uint8_t *data = input.buf;
    size_t size = (size_t)input.len;
    rlp_bounds whole, item;
    PyObject *items = NULL;
    if (!rlp_item(data, 0, size, &whole) || !whole.is_list || whole.end != size)
        PyErr_SetString(PyExc_ValueError, "one list is expected");
    else
        items = PyList_New(0);
    for (size_t at = whole.start; items != NULL && at < size; at = item.end) {
        PyObject *encoded = NULL;
        if (PyList_GET_SIZE(items) == count_max || !rlp_item(data, at, size, &item))
            PyErr_SetString(PyExc_ValueError, "no list, or one of too many items");
        else
            encoded = PyBytes_FromStringAndSize((const char *)data + at, (Py_ssize_t)(item.end - at));
        if (encoded == NULL || PyList_Append(items, encoded) < 0)
            Py_CLEAR(items);
        Py_XDECREF(encoded);
    }
    PyBuffer_Release(&input);
    return items;
}

PyMethodDef rlp_methods[] = {
    {"rlp_encode", py_rlp_encode, METH_O, "RLP of bytes, numbers and sequences of these."},
    {"rlp_envelopes", py_rlp_envelopes, METH_O, "A list of envelopes."},
    {"rlp_decode", py_rlp_decode, METH_VARARGS, "The one item that bytes encode."},
    {"rlp_split", py_rlp_split, METH_VARARGS, "The items of a list, each still encoded."},
    {NULL, NULL, 0, NULL},
};
