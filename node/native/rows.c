/* Rows of the state: finding one among layers, and how rows stood before a block. */

#include "kernels.h"

static PyObject *py_layered_row(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 3 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a tuple of dicts, a function and a key are expected");
        return NULL;
    }
    PyObject *layers = args[0], *key = args[2];
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(layers); i++) {
        PyObject *row = PyDict_GetItemWithError(PyTuple_GET_ITEM(layers, i), key);
        if (row != NULL) {
            Py_INCREF(row);
            return row;
        }
        if (PyErr_Occurred())
            return NULL;
    }
    return PyObject_CallOneArg(args[1], key);
}

/* --- before-images; the format stands in node.state.before_images */

enum { WHOLE = 0, DIFFERENCE = 1, WHOLE_ONE_IN = 8, ROW_BYTES_MIN = 113, ROW_BYTES_MAX = 0xFFFF };

/* CRC-32 as in zlib (RFC 1952, section 8), of bytes and one more. */
static uint32_t crc32_of(const uint8_t *data, size_t size, uint8_t last)
{
    static uint32_t table[256];
    if (table[1] == 0) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t c = n;
            for (int k = 0; k < 8; k++)
                c = c & 1 ? 0xEDB88320 ^ (c >> 1) : c >> 1;
            table[n] = c;
        }
    }
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ data[i]) & 0xFF] ^ (crc >> 8);
    return ~(table[(crc ^ last) & 0xFF] ^ (crc >> 8));
}

/* Whether the image at a place is whole in any case: in one of eight blocks, drawn by the row's key. */
static int is_drawn(PyObject *place)
{
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(place);
    size_t before_last = (size_t)PyBytes_GET_SIZE(place) - 1;
    uint8_t block = data[before_last] % WHOLE_ONE_IN;
    return crc32_of(data, before_last, (uint8_t)(data[before_last] - block)) % WHOLE_ONE_IN == block;
}

static PyObject *whole_image(const uint8_t *row, size_t size)
{
    PyObject *image = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size + 1);
    if (image != NULL) {
        PyBytes_AS_STRING(image)[0] = WHOLE;
        memcpy(PyBytes_AS_STRING(image) + 1, row, size);
    }
    return image;
}

static PyObject *image_of(PyObject *before, PyObject *after, PyObject *place)
{
    if (before == Py_None)
        return PyBytes_FromStringAndSize(NULL, 0);
    const uint8_t *old = (const uint8_t *)PyBytes_AS_STRING(before);
    size_t size = (size_t)PyBytes_GET_SIZE(before);
    if (after == Py_None || PyBytes_GET_SIZE(after) != (Py_ssize_t)size || size < ROW_BYTES_MIN
        || size > ROW_BYTES_MAX || is_drawn(place))
        return whole_image(old, size);
    const uint8_t *new = (const uint8_t *)PyBytes_AS_STRING(after);
    size_t first = 0, last = size;
    while (first < size && old[first] == new[first])
        first++;
    while (last > first && old[last - 1] == new[last - 1])
        last--;
    PyObject *image = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(last - first) + 3);
    if (image == NULL)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AS_STRING(image);
    out[0] = DIFFERENCE;
    out[1] = (uint8_t)(first >> 8);
    out[2] = (uint8_t)first;
    memcpy(out + 3, old + first, last - first);
    return image;
}

static int is_row(PyObject *row)
{
    return row != NULL && (row == Py_None || PyBytes_Check(row));
}

static PyObject *place_of(PyObject *head, PyObject *key, PyObject *tail)
{
    Py_ssize_t size = PyBytes_GET_SIZE(head) + PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(tail);
    PyObject *place = PyBytes_FromStringAndSize(NULL, size);
    if (place == NULL)
        return NULL;
    char *out = PyBytes_AS_STRING(place);
    memcpy(out, PyBytes_AS_STRING(head), (size_t)PyBytes_GET_SIZE(head));
    out += PyBytes_GET_SIZE(head);
    memcpy(out, PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key));
    out += PyBytes_GET_SIZE(key);
    memcpy(out, PyBytes_AS_STRING(tail), (size_t)PyBytes_GET_SIZE(tail));
    return place;
}

static PyObject *py_put_images(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *into, *rows, *before, *head, *tail, *key, *old;
    if (!PyArg_ParseTuple(
            args, "O!O!O!SS", &PyDict_Type, &into, &PyDict_Type, &rows, &PyDict_Type, &before, &head, &tail))
        return NULL;
    if (PyBytes_GET_SIZE(tail) == 0) {
        PyErr_SetString(PyExc_ValueError, "a place ends in the block's number");
        return NULL;
    }
    Py_ssize_t position = 0;
    while (PyDict_Next(before, &position, &key, &old)) {
        PyObject *new = PyDict_GetItemWithError(rows, key);
        if (!PyBytes_Check(key) || !is_row(old) || !is_row(new)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "rows are bytes or None, and the same before and after");
            return NULL;
        }
        PyObject *place = place_of(head, key, tail), *image = place == NULL ? NULL : image_of(old, new, place);
        int result = image == NULL ? -1 : PyDict_SetItem(into, place, image);
        Py_XDECREF(place);
        Py_XDECREF(image);
        if (result < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

PyMethodDef rows_methods[] = {
    {"layered_row", (PyCFunction)(void (*)(void))py_layered_row, METH_FASTCALL, "A row of the first layer that knows it."},
    {"put_images", py_put_images, METH_VARARGS, "The before-images of changed rows."},
    {NULL, NULL, 0, NULL},
};
