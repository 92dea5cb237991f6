/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of a tiny guest. The domain builder enters it where hvmloader would be: 32-bit protected
 * mode, flat segments, paging off. Nothing is assumed of the GDT, so load our own.
 *
 * A second vCPU comes by INIT-SIPI through the real-mode trampoline at the end, which is copied to
 * AP_BASE (tiny.h's smp_start does it).
 */
#define AP_BASE 0x8000

        .section .start, "ax"
        .code32
        .globl  _start
_start:
        cli
        cld
        lgdt    gdt_pointer
        ljmp    $0x08, $1f
1:      mov     $0x10, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %ax, %ss
        mov     $stack_top, %esp
        lidt    idt_pointer
        xor     %eax, %eax
        mov     $__bss_start, %edi
        mov     $__bss_end, %ecx
        sub     %edi, %ecx
        rep stosb
        mov     %ebx, boot_information
        call    tiny_init
        call    tiny_main
2:      hlt
        jmp     2b

        .globl  ap_entry32
ap_entry32:
        mov     $0x10, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $ap_stack_top, %esp
        lidt    idt_pointer
        cld
        call    smp_main
3:      hlt
        jmp     3b

        .globl  ap_trampoline, ap_trampoline_end
        .code16
ap_trampoline:
        cli
        xor     %ax, %ax
        mov     %ax, %ds
        lgdtl   AP_BASE + (ap_gdt_pointer - ap_trampoline)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $0x08, $ap_entry32
        .balign 4
ap_gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
ap_trampoline_end:
        .code32

/* Every exception ends the guest with a line that says which, so that nothing fails silently. */
        .altmacro
        .macro  vector number
exception_\number:
        push    $\number
        jmp     exception
        .endm
        .set    i, 0
        .rept   32
        vector  %i
        .set    i, i + 1
        .endr
exception:
        call    tiny_exception

        .macro  table number
        .long   exception_\number
        .endm
        .section .rodata
        .globl  exception_table
        .balign 4
exception_table:
        .set    i, 0
        .rept   32
        table   %i
        .set    i, i + 1
        .endr

        .data
        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9b000000ffff      /* 0x08: code, base 0, 4 GiB */
        .quad   0x00cf93000000ffff      /* 0x10: data, base 0, 4 GiB */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
        .balign 4
idt_pointer:
        .word   32 * 8 - 1
        .long   tiny_idt

        .bss
        .balign 16
        .skip   16384
stack_top:
        .skip   16384
ap_stack_top:
        .globl  boot_information
boot_information:
        .skip   4
        .section .note.GNU-stack, "", @progbits
