/* Objects made and filled without the functions in Python that their classes are. */

#include "slots.h"
#include <structmember.h>

/* Where the objects of a class keep an attribute; -1 where it is no plain slot. */
static Py_ssize_t offset_of(PyTypeObject *type, PyObject *name)
{
    PyObject *found = _PyType_Lookup(type, name); /* borrowed */
    if (found == NULL || !Py_IS_TYPE(found, &PyMemberDescr_Type) || !PyType_IsSubtype(type, PyDescr_TYPE(found)))
        return -1;
    const PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
    return member->type == T_OBJECT_EX ? member->offset : -1;
}

PyObject *bind_layout(layout *found, PyObject *cls, PyObject *names)
{
    layout made = {.count = PyTuple_Check(names) ? PyTuple_GET_SIZE(names) : 0};
    if (!PyType_Check(cls) || made.count == 0 || made.count > SLOTS_MAX) {
        PyErr_SetString(PyExc_TypeError, "a class and the names of its slots are expected");
        return NULL;
    }
    made.type = (PyTypeObject *)cls;
    for (Py_ssize_t i = 0; i < made.count; i++) {
        made.offsets[i] = offset_of(made.type, PyTuple_GET_ITEM(names, i));
        if (made.offsets[i] < 0) {
            PyErr_Format(PyExc_TypeError, "%R has no slot %R", cls, PyTuple_GET_ITEM(names, i));
            return NULL;
        }
    }
    Py_INCREF(cls);
    Py_XDECREF((PyObject *)found->type);
    *found = made;
    Py_RETURN_NONE;
}

/* Whether an object holds nothing that could ever lead back to whoever holds it. */
static int is_plain(PyObject *value)
{
    return !PyObject_IS_GC(value) || (PyTuple_Check(value) && !PyObject_GC_IsTracked(value));
}

/* Whether that is so for all that a tuple holds; then it is left out of garbage collections from now on, as
 * CPython does by itself, but only with tuples that are of no class of their own. */
static int made_plain(PyObject *tuple)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        if (!is_plain(item) && !(PyTuple_CheckExact(item) && made_plain(item)))
            return 0;
    }
    if (PyObject_GC_IsTracked(tuple))
        PyObject_GC_UnTrack(tuple);
    return 1;
}

/* An object whose class is frozen, its attributes set all the same: what __init__ of a dataclass does. Of values
 * only that lead to no object of this class: the garbage collector is not told of it. */
static PyObject *py_made(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 3 || !PyType_Check(args[0]) || !PyTuple_Check(args[1]) || !PyTuple_Check(args[2])
        || PyTuple_GET_SIZE(args[1]) != PyTuple_GET_SIZE(args[2])) {
        PyErr_SetString(PyExc_TypeError, "a class, names and as many values are expected");
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)args[0];
    PyObject *made = type->tp_alloc(type, 0);
    for (Py_ssize_t i = 0; made != NULL && i < PyTuple_GET_SIZE(args[1]); i++) {
        PyObject *name = PyTuple_GET_ITEM(args[1], i), *value = PyTuple_GET_ITEM(args[2], i);
        Py_ssize_t offset = offset_of(type, name);
        if (offset >= 0)
            Py_XSETREF(*(PyObject **)((char *)made + offset), Py_NewRef(value));
        else if (PyObject_GenericSetAttr(made, name, value) < 0)
            Py_CLEAR(made);
        if (PyTuple_CheckExact(value))
            made_plain(value);
    }
    if (made != NULL && PyObject_IS_GC(made))
        PyObject_GC_UnTrack(made);
    return made;
}

/* The same for a class of named tuples, by their items alone. */
static PyObject *py_named(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 2 || !PyType_Check(args[0]) || !PyType_IsSubtype((PyTypeObject *)args[0], &PyTuple_Type)
        || !PyTuple_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "a class of tuples and a tuple are expected");
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)args[0];
    Py_ssize_t size = PyTuple_GET_SIZE(args[1]);
    PyObject *made = type->tp_alloc(type, size);
    for (Py_ssize_t i = 0; made != NULL && i < size; i++)
        PyTuple_SET_ITEM(made, i, Py_NewRef(PyTuple_GET_ITEM(args[1], i)));
    if (made != NULL)
        made_plain(made);
    return made;
}

PyMethodDef slots_methods[] = {
    {"made", (PyCFunction)(void (*)(void))py_made, METH_FASTCALL, "An object with these attributes."},
    {"named", (PyCFunction)(void (*)(void))py_named, METH_FASTCALL, "A tuple of this class with these items."},
    {NULL, NULL, 0, NULL},
};
