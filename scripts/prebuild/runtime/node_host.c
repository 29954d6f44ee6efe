/* SPDX-License-Identifier: BSD-3-Clause */
/* How the add-on finds Node-API on Windows. There an import names the file that has the function, which would
 * be node.exe: a copy of node.exe under another name, and programs that embed Node (electron.exe), could not
 * load the add-on. So nothing is imported by that name. The functions are looked up in the program itself
 * when the add-on is loaded, which is what node-gyp's delay-load hook does, but all at once: an add-on that
 * lacks one is refused, and does not fail later.
 *
 * windows.mjs writes the other half: what the functions are called, and where the compiler calls them
 * through. */
#include <windows.h>

extern const char rvt_node_api_names[]; /* one after the other, "" at the end */
extern FARPROC *const rvt_node_api_pointers[];

static BOOL find_node_api(void) {
    HMODULE host = GetModuleHandleW(L"libnode.dll"); /* Node built as a library */
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
