/* SPDX-License-Identifier: BSD-3-Clause */
/* Resolves the Node-API functions on Windows when the add-on is loaded. An ordinary import on Windows names the
 * file that exports the function, here node.exe. An add-on with such imports could not be loaded by a renamed
 * copy of node.exe, or by a program that embeds Node (electron.exe). So the add-on does not import from
 * node.exe, but looks up all functions in the host program. node-gyp's delay-load hook does the same on first
 * use; this code resolves all functions at load time, so loading fails at once if a function is missing.
 *
 * windows.mjs generates the tables: the function names, and the pointers that compiled code calls through. */
#include <windows.h>

extern const char rvt_node_api_names[]; /* NUL-terminated names, then "" */
extern FARPROC *const rvt_node_api_pointers[];

static BOOL find_node_api(void) {
    HMODULE host = GetModuleHandleW(L"libnode.dll"); /* Node as a shared library */
    if (!host)
        host = GetModuleHandleW(NULL);

    FARPROC *const *pointer = rvt_node_api_pointers;
    for (const char *name = rvt_node_api_names; *name; name += lstrlenA(name) + 1) {
        FARPROC function = GetProcAddress(host, name);
        if (!function)
            return FALSE;
        **pointer++ = function;
    }
    return TRUE;
}

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved);

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved) {
    (void)module;
    (void)reserved;
    return reason == DLL_PROCESS_ATTACH ? find_node_api() : TRUE;
}
