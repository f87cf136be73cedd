import { expect, test } from 'vitest'
import { features } from '../isa/rows.ts'
import { Decoder } from './decoder.ts'
import { formatInstruction } from './format.ts'
import type { CodeSize } from './instruction.ts'
import { Instruction } from './instruction.ts'

const decoder = new Decoder(features())

function text(hex: string, codeSize: CodeSize = 64, rip?: bigint): string {
  const bytes = Uint8Array.from(hex.split(' '), (byte) => parseInt(byte, 16))
  const instruction = new Instruction()
  expect(decoder.decode(bytes, 0, bytes.length, codeSize, instruction)).toBe(bytes.length)
  return formatInstruction(instruction, rip)
}

test.each([
  ['48 8b 44 8d f0', 'mov rax, qword ptr [rbp+rcx*4-0x10]'],
  ['64 48 8b 04 25 28 00 00 00', 'mov rax, qword ptr fs:[0x28]'],
  ['8b 05 10 00 00 00', 'mov eax, dword ptr [rip+0x10]'],
  ['f0 0f b1 0a', 'lock cmpxchg dword ptr [rdx], ecx'],
  ['f3 a4', 'rep movsb byte ptr es:[rdi], byte ptr ds:[rsi]'],
  ['f3 a6', 'repe cmpsb byte ptr ds:[rsi], byte ptr es:[rdi]'],
  ['88 e0', 'mov al, ah'],
  ['40 88 e0', 'mov al, spl'],
  ['45 88 d1', 'mov r9b, r10b'],
  ['83 c0 ff', 'add eax, 0xffffffff'],
  ['66 83 c0 ff', 'add ax, 0xffff'],
  ['c8 10 00 01', 'enter 0x10, 1'],
  ['48 b8 01 02 03 04 05 06 07 08', 'mov rax, 0x807060504030201'],
  ['f2 0f 10 45 f8', 'movsd xmm0, qword ptr [rbp-8]'],
  ['d8 c1', 'fadd st(0), st(1)'],
  ['dd 00', 'fld qword ptr [rax]'],
  ['0f 6f c1', 'movq mm0, mm1'],
  ['0f 22 d8', 'mov cr3, rax'],
  ['8e d8', 'mov ds, ax'],
  ['48 98', 'cdqe'],
  ['c3', 'ret'],
  ['67 e3 00', 'jecxz $+3'],
  ['eb fe', 'jmp $+0'],
  ['75 80', 'jne $-0x7e'],
])('%s is %s', (hex, expected) => {
  expect(text(hex)).toBe(expected)
})

test('in other modes', () => {
  expect(text('8b 42 10', 16)).toBe('mov ax, word ptr ss:[bp+si+0x10]')
  expect(text('ea 00 01 00 f0', 16)).toBe('jmp far 0xf000:0x100')
  expect(text('60', 32)).toBe('pushad')
})

test('branch targets', () => {
  expect(text('0f 84 00 01 00 00', 64, 0x1000n)).toBe('je 0x1106')
  expect(text('eb 10', 16, 0xfff8n)).toBe('jmp 0xa')
})
