import { pvhNote, syntheticElf } from '../boot/testing/synthetic-kernels.ts'
import { openKernel } from '../boot/kernel-image.ts'
import type { KernelImage } from '../boot/kernel-image.ts'

/**
 * A bare-metal guest that never rests, in 32-bit protected mode. It mixes a number (EBX) with all that a snapshot must carry over:
 * string instructions that overlap, x87 values that stay on the stack, SSE registers, flags that live across a loop, the time stamp
 * counter, code that it rewrites, and interrupts of the PIT at every 17 us, each of which it takes wherever it is. A byte of the
 * number goes to COM1 each time round; every sixteenth time it waits for the timer.
 *
 * Memory: IDT 00020000, strings from 00030000, results from 00038000 (interrupts so far at 00038050).
 */
const LISTING = `
start:
  bc00f00900               mov esp,0x9f000
  0f0115e0011000           lgdtd 0x1001e0
  ea130010000800           jmp 0x8:0x100013
loaded:
  b810000000               mov eax,0x10
  8ed8                     mov ds,eax
  8ec0                     mov es,eax
  8ed0                     mov ss,eax
  b8ad011000               mov eax,0x1001ad
  ba00000800               mov edx,0x80000
  6689c2                   mov dx,ax
  891500010200             mov DWORD 0x20100,edx
  250000ffff               and eax,0xffff0000
  66b8008e                 mov ax,0x8e00
  a304010200               mov 0x20104,eax
  66c70500020200ff01       mov WORD 0x20200,0x1ff
  c7050202020000000200     mov DWORD 0x20202,0x20000
  0f011d00020200           lidtd 0x20200
  0f20e0                   mov eax,cr4
  0d00060000               or eax,0x600
  0f22e0                   mov cr4,eax
  0f20c0                   mov eax,cr0
  83c822                   or eax,0x22
  0f22c0                   mov cr0,eax
  b011                     mov al,0x11
  e620                     out 0x20,al
  e6a0                     out 0xa0,al
  b020                     mov al,0x20
  e621                     out 0x21,al
  b028                     mov al,0x28
  e6a1                     out 0xa1,al
  b004                     mov al,0x4
  e621                     out 0x21,al
  b002                     mov al,0x2
  e6a1                     out 0xa1,al
  b001                     mov al,0x1
  e621                     out 0x21,al
  e6a1                     out 0xa1,al
  b0fe                     mov al,0xfe
  e621                     out 0x21,al
  b0ff                     mov al,0xff
  e6a1                     out 0xa1,al
  b034                     mov al,0x34
  e643                     out 0x43,al
  b014                     mov al,0x14
  e640                     out 0x40,al
  30c0                     xor al,al
  e640                     out 0x40,al
  dbe3                     fninit
  d9eb                     fldpi
  d9e8                     fld1
  fc                       cld
  bb78563412               mov ebx,0x12345678
  31ed                     xor ebp,ebp
again:
  fb                       sti
  69db0d661900             imul ebx,ebx,0x19660d
  81c35ff36e3c             add ebx,0x3c6ef35f
  89d9                     mov ecx,ebx
  c1e916                   shr ecx,0x16
  be00000300               mov esi,0x30000
  bff40f0300               mov edi,0x30ff4
  f3a5                     rep movs DWORD es:[edi],DWORD [esi]
  89d8                     mov eax,ebx
  89d9                     mov ecx,ebx
  81e1ff1f0000             and ecx,0x1fff
  bf003f0300               mov edi,0x33f00
  f3aa                     rep stos BYTE es:[edi],al
  b900020000               mov ecx,0x200
  bf00000300               mov edi,0x30000
  f2ae                     repnz scas al,BYTE es:[edi]
  29cb                     sub ebx,ecx
  b900010000               mov ecx,0x100
  be00000300               mov esi,0x30000
  bf003f0300               mov edi,0x33f00
  f3a6                     repz cmps BYTE [esi],BYTE es:[edi]
  11cb                     adc ebx,ecx
  891cad00000300           mov DWORD [ebp*4+0x30000],ebx
  d8c1                     fadd st,st(1)
  d9fa                     fsqrt
  da0cad00000300           fimul DWORD [ebp*4+0x30000]
  d9e1                     fabs
  d9fa                     fsqrt
  db3d00800300             fstp TBYTE 0x38000
  db2d00800300             fld TBYTE 0x38000
  d9c0                     fld st(0)
  df3d10800300             fistp QWORD 0x38010
  f20f2ac3                 cvtsi2sd xmm0,ebx
  f20f59c0                 mulsd xmm0,xmm0
  f20f58c8                 addsd xmm1,xmm0
  f20f51d1                 sqrtsd xmm2,xmm1
  660f6edb                 movd xmm3,ebx
  660f70e31b               pshufd xmm4,xmm3,0x1b
  660ffeec                 paddd xmm5,xmm4
  660feff5                 pxor xmm6,xmm5
  0f113520800300           movups XMMWORD 0x38020,xmm6
  f20f111530800300         movsd QWORD 0x38030,xmm2
  b918000000               mov ecx,0x18
flags:
  d1d3                     rcl ebx,1
  11cb                     adc ebx,ecx
  9f                       lahf
  010540800300             add DWORD 0x38040,eax
  49                       dec ecx
  75f2                     jne flags
  0f31                     rdtsc
  31c3                     xor ebx,eax
  331d50800300             xor ebx,DWORD 0x38050
  891d79011000             mov DWORD 0x100179,ebx
patched:
  b811111111               mov eax,0x11111111
  01c3                     add ebx,eax
  baf8030000               mov edx,0x3f8
  89d8                     mov eax,ebx
  243f                     and al,0x3f
  0430                     add al,0x30
  ee                       out dx,al
  45                       inc ebp
  81e5ff000000             and ebp,0xff
  f7c50f000000             test ebp,0xf
  0f850dffffff             jne again
  b00a                     mov al,0xa
  ee                       out dx,al
  fa                       cli
  8cd0                     mov eax,ss
  8ed0                     mov ss,eax
  fb                       sti
  f4                       hlt
  e9fefeffff               jmp again
isr:
  60                       pusha
  ff0550800300             inc DWORD 0x38050
  8b442420                 mov eax,DWORD [esp+0x20]
  010554800300             add DWORD 0x38054,eax
  b020                     mov al,0x20
  e620                     out 0x20,al
  61                       popa
  cf                       iret
  8d742600                 (padding)
gdt:
  0000000000000000         (null)
  ffff0000009bcf00         code, flat
  ffff00000093cf00         data, flat
gdtr:
  1700c8011000             23, gdt
`

const ADDRESS = 0x100000
/** Physical address of the number of interrupts taken (u32). */
export const INTERRUPT_COUNT = 0x38050

export function busyGuest(): Promise<KernelImage> {
  const text = LISTING.split('\n').map((line) => /^  ([0-9a-f]+) /.exec(line)?.[1] ?? '').join('')
  const bytes = Uint8Array.from({ length: text.length / 2 }, (_, at) => parseInt(text.slice(2 * at, 2 * at + 2), 16))
  return openKernel(syntheticElf({
    class: 32, entry: ADDRESS, segments: [{ physical: ADDRESS, bytes, memorySize: 0x1000 }], notes: pvhNote(ADDRESS),
  }))
}
