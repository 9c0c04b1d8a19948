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

int made_plain(PyObject *tuple)
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

/* --- makers: functions that make objects of one class from the values of its fields, as the class does when it is
 * called, but without running Python. What class that may be, node.native.maker says. */

enum { CLASS, DEFAULTS, LAYOUT, COLLECTED };
/* What a maker holds: a tuple of these. */

static const char *const layout_name = "node.native.layout";

static const layout *layout_of(PyObject *maker, Py_ssize_t given)
{
    const layout *found = PyCapsule_GetPointer(PyTuple_GET_ITEM(maker, LAYOUT), layout_name);
    Py_ssize_t defaults = PyTuple_GET_SIZE(PyTuple_GET_ITEM(maker, DEFAULTS));
    if (found == NULL || (given <= found->count && given >= found->count - defaults))
        return found;
    PyErr_Format(PyExc_TypeError, "%R has %zd fields, %zd with a default, not %zd", found->type, found->count,
        defaults, given);
    return NULL;
}

/* A field that was not given: a class stands for a new object of it. */
static PyObject *default_of(PyObject *maker, Py_ssize_t from_the_last)
{
    PyObject *defaults = PyTuple_GET_ITEM(maker, DEFAULTS);
    PyObject *found = PyTuple_GET_ITEM(defaults, PyTuple_GET_SIZE(defaults) - from_the_last);
    return PyType_Check(found) ? PyObject_CallNoArgs(found) : Py_NewRef(found);
}

static PyObject *make_object(PyObject *maker, PyObject *const *values, Py_ssize_t given)
{
    const layout *of = layout_of(maker, given);
    PyObject *made = of == NULL ? NULL : of->type->tp_alloc(of->type, 0);
    for (Py_ssize_t i = 0; made != NULL && i < of->count; i++) {
        PyObject *value = i < given ? Py_NewRef(values[i]) : default_of(maker, of->count - i);
        if (value == NULL)
            Py_CLEAR(made);
        else
            *slot_of(of, made, (int)i) = value;
    }
    if (made == NULL || PyTuple_GET_ITEM(maker, COLLECTED) == Py_True)
        return made;
    for (Py_ssize_t i = 0; i < given; i++)
        if (PyTuple_CheckExact(values[i]))
            made_plain(values[i]);
    if (PyObject_IS_GC(made))
        PyObject_GC_UnTrack(made);
    return made;
}

static PyObject *make_tuple(PyObject *maker, PyObject *const *items, Py_ssize_t given)
{
    PyTypeObject *type = (PyTypeObject *)PyTuple_GET_ITEM(maker, CLASS);
    if (given != PyLong_AsSsize_t(PyTuple_GET_ITEM(maker, LAYOUT))) {
        PyErr_Format(PyExc_TypeError, "%R has %S fields, not %zd", type, PyTuple_GET_ITEM(maker, LAYOUT), given);
        return NULL;
    }
    PyObject *made = type->tp_alloc(type, given);
    for (Py_ssize_t i = 0; made != NULL && i < given; i++)
        PyTuple_SET_ITEM(made, i, Py_NewRef(items[i]));
    if (made != NULL)
        made_plain(made);
    return made;
}

static void free_layout(PyObject *capsule)
{
    layout *of = PyCapsule_GetPointer(capsule, layout_name);
    Py_DECREF((PyObject *)of->type);
    PyMem_Free(of);
}

static PyObject *capsule_of(PyObject *cls, PyObject *names)
{
    layout *of = PyMem_Calloc(1, sizeof *of);
    if (of == NULL)
        return PyErr_NoMemory();
    PyObject *bound = bind_layout(of, cls, names);
    PyObject *capsule = bound == NULL ? NULL : PyCapsule_New(of, layout_name, free_layout);
    Py_XDECREF(bound);
    if (capsule == NULL) {
        Py_XDECREF((PyObject *)of->type);
        PyMem_Free(of);
    }
    return capsule;
}

static PyObject *py_maker(PyObject *self, PyObject *args)
{
    (void)self;
    static PyMethodDef of_objects = {
        "make", (PyCFunction)(void (*)(void))make_object, METH_FASTCALL, "An object with these attributes.",
    };
    static PyMethodDef of_tuples = {
        "make", (PyCFunction)(void (*)(void))make_tuple, METH_FASTCALL, "A tuple of these items.",
    };
    PyObject *cls, *names, *defaults, *collected;
    if (!PyArg_ParseTuple(args, "O!O!O!O!", &PyType_Type, &cls, &PyTuple_Type, &names, &PyTuple_Type, &defaults,
            &PyBool_Type, &collected))
        return NULL;
    int of_items = PyType_IsSubtype((PyTypeObject *)cls, &PyTuple_Type);
    if (PyTuple_GET_SIZE(defaults) > (of_items ? 0 : PyTuple_GET_SIZE(names))) {
        PyErr_SetString(PyExc_ValueError, "no more defaults than fields, and none for tuples");
        return NULL;
    }
    PyObject *place = of_items ? PyLong_FromSsize_t(PyTuple_GET_SIZE(names)) : capsule_of(cls, names);
    PyObject *held = place == NULL ? NULL : PyTuple_Pack(4, cls, defaults, place, collected);
    PyObject *made = held == NULL ? NULL : PyCFunction_New(of_items ? &of_tuples : &of_objects, held);
    Py_XDECREF(held);
    Py_XDECREF(place);
    return made;
}

PyMethodDef slots_methods[] = {
    {"maker", py_maker, METH_VARARGS, "What makes objects of a class."},
    {NULL, NULL, 0, NULL},
};
