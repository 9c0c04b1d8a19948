/* Nodes of the Merkle-Patricia trie: encoding, decoding, and how a parent refers to a child. */

#include "kernels.h"

enum { BRANCH_ITEMS = 17, HASH = 32, REFERENCE = 33 };

static PyObject *no_node(void)
{
    PyErr_SetString(PyExc_ValueError, "no trie node");
    return NULL;
}

static PyObject *slice(const uint8_t *data, size_t start, size_t end)
{
    return PyBytes_FromStringAndSize((const char *)data + start, (Py_ssize_t)(end - start));
}

static PyObject *nibbles_of(const uint8_t *path, size_t size, size_t skipped)
{
    static const char digits[] = "0123456789abcdef";
    PyObject *text = PyUnicode_New((Py_ssize_t)(2 * size - skipped), 127);
    if (text == NULL)
        return NULL;
    Py_UCS1 *out = PyUnicode_1BYTE_DATA(text);
    for (size_t i = skipped; i < 2 * size; i++)
        out[i - skipped] = (Py_UCS1)digits[i % 2 ? path[i / 2] & 15 : path[i / 2] >> 4];
    return text;
}

/* (nibbles, is_leaf, payload) */
static PyObject *short_node(const uint8_t *data, size_t start, size_t size)
{
    rlp_bounds path, value;
    if (!rlp_item(data, start, size, &path) || path.is_list || path.start == path.end
        || !rlp_item(data, path.end, size, &value) || value.end != size)
        return no_node();
    uint8_t first = data[path.start], flag = first >> 4;
    size_t skipped = flag & 1 ? 1 : 2;
    if (flag > 3 || (skipped == 2 && first & 15))
        return no_node();
    int is_leaf = flag >= 2;
    if (is_leaf) {
        if (value.is_list)
            return no_node();
    } else {
        uint8_t prefix = data[path.end];
        if (2 * (path.end - path.start) == skipped || !(prefix == 0xA0 || (prefix > 0xC0 && prefix < 0xE0)))
            return no_node();
    }
    PyObject *nibbles = nibbles_of(data + path.start, path.end - path.start, skipped);
    PyObject *payload = slice(data, is_leaf ? value.start : path.end, size);
    PyObject *node = NULL;
    if (nibbles != NULL && payload != NULL)
        node = PyTuple_Pack(3, nibbles, is_leaf ? Py_True : Py_False, payload);
    Py_XDECREF(nibbles);
    Py_XDECREF(payload);
    return node;
}

static PyObject *branch_node(const uint8_t *data, const size_t *starts)
{
    PyObject *items = PyList_New(BRANCH_ITEMS);
    for (int i = 0; items != NULL && i < BRANCH_ITEMS; i++) {
        PyObject *item = slice(data, starts[i], starts[i + 1]);
        if (item == NULL)
            Py_CLEAR(items);
        else
            PyList_SET_ITEM(items, i, item);
    }
    return items;
}

static PyObject *py_trie_node(PyObject *self, PyObject *encoded)
{
    (void)self;
    if (!PyBytes_Check(encoded)) {
        PyErr_SetString(PyExc_TypeError, "a trie node is bytes");
        return NULL;
    }
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(encoded);
    size_t size = (size_t)PyBytes_GET_SIZE(encoded), starts[BRANCH_ITEMS + 1];
    rlp_bounds whole, item;
    if (!rlp_item(data, 0, size, &whole) || !whole.is_list || whole.end != size)
        return no_node();
    int count = 0;
    for (size_t at = whole.start; at < size; at = item.end) {
        if (count == BRANCH_ITEMS || !rlp_item(data, at, size, &item))
            return no_node();
        starts[count++] = at;
    }
    if (count == 2)
        return short_node(data, whole.start, size);
    starts[BRANCH_ITEMS] = size;
    /* What begins a branch is 0x80, 0xa0 or a list; its value is no list. */
    if (count != BRANCH_ITEMS || (data[starts[0]] != 0x80 && data[starts[0]] < 0xA0) || data[starts[16]] >= 0xC0)
        return no_node();
    return branch_node(data, starts);
}

static uint8_t *put_header(uint8_t *out, size_t size, uint8_t base)
{
    if (size < 56) {
        *out++ = (uint8_t)(base + size);
        return out;
    }
    uint8_t width = 0;
    for (size_t left = size; left; left >>= 8)
        width++;
    *out++ = (uint8_t)(base + 55 + width);
    for (int k = width - 1; k >= 0; k--)
        *out++ = (uint8_t)(size >> 8 * k);
    return out;
}

static size_t header_size(size_t size)
{
    size_t width = 1;
    if (size >= 56)
        for (size_t left = size; left; left >>= 8)
            width++;
    return width;
}

static size_t string_size(const uint8_t *data, size_t size)
{
    return size == 1 && data[0] < 0x80 ? 1 : header_size(size) + size;
}

static uint8_t *put_string(uint8_t *out, const uint8_t *data, size_t size)
{
    if (!(size == 1 && data[0] < 0x80))
        out = put_header(out, size, 0x80);
    if (size)
        memcpy(out, data, size);
    return out + size;
}

static int digit_of(Py_UCS4 c)
{
    return c >= '0' && c <= '9' ? (int)(c - '0') : c >= 'a' && c <= 'f' ? (int)(c - 'a' + 10) : -1;
}

/* A path with its flag and `second`, which is a string for a leaf and written as it is for an extension. */
static PyObject *two_items(PyObject *args, int is_leaf)
{
    enum { PATH_BYTES_MAX = 64 };
    PyObject *nibbles, *second;
    if (!PyArg_ParseTuple(args, "US", &nibbles, &second))
        return NULL;
    size_t length = (size_t)PyUnicode_GET_LENGTH(nibbles), path_size = length / 2 + 1;
    uint8_t path[PATH_BYTES_MAX];
    if (path_size > PATH_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "a path longer than that of any key");
        return NULL;
    }
    memset(path, 0, path_size);
    path[0] = (uint8_t)((is_leaf ? 0x20 : 0) | (length % 2 ? 0x10 : 0));
    for (size_t i = 0; i < length; i++) {
        int digit = digit_of(PyUnicode_READ_CHAR(nibbles, (Py_ssize_t)i));
        if (digit < 0) {
            PyErr_SetString(PyExc_ValueError, "a path is hex digits");
            return NULL;
        }
        size_t place = i + 2 - length % 2; /* behind the flag, and a zero where the number is even */
        path[place / 2] |= (uint8_t)(place % 2 ? digit : digit << 4);
    }
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(second);
    size_t size = (size_t)PyBytes_GET_SIZE(second);
    size_t payload = string_size(path, path_size) + (is_leaf ? string_size(data, size) : size);
    PyObject *node = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(header_size(payload) + payload));
    if (node == NULL)
        return NULL;
    uint8_t *out = put_header((uint8_t *)PyBytes_AS_STRING(node), payload, 0xC0);
    out = put_string(out, path, path_size);
    if (is_leaf)
        put_string(out, data, size);
    else
        memcpy(out, data, size);
    return node;
}

static PyObject *py_trie_leaf(PyObject *self, PyObject *args)
{
    (void)self;
    return two_items(args, 1);
}

static PyObject *py_trie_extension(PyObject *self, PyObject *args)
{
    (void)self;
    return two_items(args, 0);
}

static PyObject *py_trie_branch(PyObject *self, PyObject *items)
{
    (void)self;
    if (!PyList_Check(items) || PyList_GET_SIZE(items) != BRANCH_ITEMS) {
        PyErr_SetString(PyExc_ValueError, "a branch is a list of 17 items");
        return NULL;
    }
    size_t payload = 0;
    for (int i = 0; i < BRANCH_ITEMS; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        if (!PyBytes_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "an item of a branch is bytes");
            return NULL;
        }
        payload += (size_t)PyBytes_GET_SIZE(item);
    }
    PyObject *node = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(header_size(payload) + payload));
    if (node == NULL)
        return NULL;
    uint8_t *out = put_header((uint8_t *)PyBytes_AS_STRING(node), payload, 0xC0);
    for (int i = 0; i < BRANCH_ITEMS; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        memcpy(out, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
        out += PyBytes_GET_SIZE(item);
    }
    return node;
}

static PyObject *py_trie_reference(PyObject *self, PyObject *encoded)
{
    (void)self;
    if (!PyBytes_Check(encoded)) {
        PyErr_SetString(PyExc_TypeError, "a trie node is bytes");
        return NULL;
    }
    if (PyBytes_GET_SIZE(encoded) < HASH) {
        Py_INCREF(encoded);
        return encoded;
    }
    PyObject *reference = PyBytes_FromStringAndSize(NULL, REFERENCE);
    if (reference == NULL)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AS_STRING(reference);
    out[0] = 0x80 + HASH;
    keccak256((const uint8_t *)PyBytes_AS_STRING(encoded), (size_t)PyBytes_GET_SIZE(encoded), out + 1);
    return reference;
}

PyMethodDef trie_methods[] = {
    {"trie_node", py_trie_node, METH_O, "17 items of a branch, or nibbles, whether a leaf, and payload."},
    {"trie_leaf", py_trie_leaf, METH_VARARGS, "A leaf of nibbles and a value."},
    {"trie_extension", py_trie_extension, METH_VARARGS, "An extension of nibbles and a reference."},
    {"trie_branch", py_trie_branch, METH_O, "A branch of 17 encoded items."},
    {"trie_reference", py_trie_reference, METH_O, "How a parent refers to an encoded node."},
    {NULL, NULL, 0, NULL},
};
