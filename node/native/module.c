/* The extension `node.native._kernels`: leaf work in C. What each function means stands in `_kernels.pyi`. */

#include "kernels.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernels", "Leaf work of the node in C.", -1, NULL, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernels(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    PyMethodDef *tables[] = {
        keccak_methods, keccak_many_methods, blake2_methods, recover_methods, bn128_methods, rlp_methods,
        trie_methods, trie_update_methods, ordered_root_methods, rows_methods, images_methods, leaves_methods,
        transaction_methods, receipts_methods, slots_methods, bloom_methods, words_methods, storage_methods,
        interpret_methods,
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (PyModule_AddFunctions(module, tables[i]) < 0) {
            Py_DECREF(module);
            return NULL;
        }
    }
    if (PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    bn128_prepare();
    keccak_prepare();
    leaves_prepare();
    return module;
}
