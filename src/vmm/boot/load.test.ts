import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { openKernel } from './kernel-image.ts'
import { loadKernel } from './load.ts'
import type { BootRequest } from './load.ts'
import { emptyMachine, MIB, readBytes } from './testing/machine.ts'
import { elfNote, KERNEL_ADDRESS, pvhNote, storedLz4Payload, syntheticBzImage, syntheticElf } from './testing/synthetic-kernels.ts'

const RSDP = gpa(0xe0000)
const failing = (code: string, message = /./) => expect.objectContaining({ code, message: expect.stringMatching(message) })
const linuxElf = () => syntheticElf({ notes: elfNote('Linux', 257, Uint8Array.of(1)) })
const pvhElf = () => syntheticElf({ notes: pvhNote(KERNEL_ADDRESS + 0x10) })

async function boot(file: Uint8Array, request: Partial<BootRequest> = {}, memorySize = 64 * MIB) {
  const { layout, memory } = emptyMachine(memorySize)
  const kernel = await openKernel(file)
  const state = loadKernel(memory, layout, { kernel, commandLine: 'console=ttyS0', rsdp: RSDP, ...request })
  const view = (address: number, length = 4096) => new DataView(readBytes(memory, address, length).buffer)
  return { state, memory, view }
}

function cString(view: DataView): string {
  const bytes = new Uint8Array(view.buffer)
  return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString()
}

describe('the 64-bit Linux protocol', () => {
  it('enters a bzImage that decompresses itself at 0x200', async () => {
    const file = syntheticBzImage()
    const { state, memory } = await boot(file)
    expect([state.mode, state.rip]).toEqual(['long', BigInt(KERNEL_ADDRESS + 0x200)])
    expect(readBytes(memory, KERNEL_ADDRESS, file.length - 2560)).toEqual(file.subarray(2560))
  })

  it('enters a decompressed bzImage at the ELF\'s entry, with the bzImage\'s header in the zero page', async () => {
    const file = syntheticBzImage({ payload: storedLz4Payload(pvhElf()) })
    const { state, memory, view } = await boot(file)
    expect([state.mode, state.rip]).toEqual(['long', BigInt(KERNEL_ADDRESS)])
    expect([...readBytes(memory, KERNEL_ADDRESS, 4)]).toEqual([0xf4, 0xeb, 0xfd, 0])
    const zeroPage = view(Number(state.registers.rsi))
    expect([zeroPage.getUint32(0x202, true), zeroPage.getUint16(0x206, true), zeroPage.getUint32(0x260, true)])
      .toEqual([0x53726448, 0x20f, 0x100000])
  })

  it('tells of the command line, the RSDP, the initrd and the memory', async () => {
    const initrd = Uint8Array.from({ length: 5000 }, (_, index) => index)
    const { state, memory, view } = await boot(linuxElf(), { initrd, commandLine: 'root=/dev/vda quiet é€😀' })
    const page = view(Number(state.registers.rsi))
    expect(cString(view(page.getUint32(0x228, true)))).toBe('root=/dev/vda quiet é€😀')
    expect(page.getBigUint64(0x70, true)).toBe(0xe0000n)
    expect([page.getUint16(0x1fe, true), page.getUint8(0x210), page.getUint8(0x1ef)]).toEqual([0xaa55, 0xff, 0])
    const address = page.getUint32(0x218, true)
    expect([address, page.getUint32(0x21c, true)]).toEqual([64 * MIB - 8192, 5000])
    expect(readBytes(memory, address, 5000)).toEqual(initrd)
    const entries = Array.from({ length: page.getUint8(0x1e8) }, (_, index) => 0x2d0 + 20 * index)
      .map(at => [Number(page.getBigUint64(at, true)), Number(page.getBigUint64(at + 8, true)), page.getUint32(at + 16, true)])
    expect(entries[0]).toEqual([0, 0x9fc00, 1])
    expect(entries).toContainEqual([MIB, 63 * MIB, 1])
  })

  it('maps the first 4 GiB to themselves', async () => {
    const { state, memory } = await boot(linuxElf())
    const entry = (table: number, index: number) => Number(memory.readU64(gpa(table + 8 * index)))
    for (const address of [0, KERNEL_ADDRESS, 0xb0000000, 0xfee00000]) {
      const pointers = entry(state.cr3, 0)
      const directory = entry(pointers & ~0xfff, Math.floor(address / 2 ** 30))
      const page = entry(directory & ~0xfff, Math.floor(address / 2 ** 21) % 512)
      expect([pointers & 3, directory & 3, page & 0x83]).toEqual([3, 3, 0x83])
      expect(page - 0x83).toBe(Math.floor(address / 2 ** 21) * 2 ** 21)
    }
  })

  it('has a GDT that agrees with the segments', async () => {
    const { state, memory } = await boot(linuxElf())
    const descriptor = (selector: number) => memory.readU64(gpa(Number(state.gdtr.base) + selector))
    expect(descriptor(state.segments.cs.selector)).toBe(0x00af9b000000ffffn)
    expect(descriptor(state.segments.ds.selector)).toBe(0x00cf93000000ffffn)
    expect([state.segments.cs.selector, state.segments.ss.selector, state.gdtr.limit]).toEqual([0x10, 0x18, 31])
    expect([state.cr0, state.cr4, state.efer]).toEqual([0x80000031, 0x20, 0x500])
  })
})

describe('PVH', () => {
  it('enters at the note\'s address in 32-bit protected mode', async () => {
    const { state } = await boot(pvhElf())
    expect([state.mode, state.rip, state.cr0, state.cr4, state.efer])
      .toEqual(['protected', BigInt(KERNEL_ADDRESS + 0x10), 0x11, 0, 0])
    expect(state.segments.cs).toEqual({ selector: 0, base: 0n, limit: 0xffffffff, attributes: 0xc09b })
  })

  it('starts a 32-bit ELF as well', async () => {
    const { state } = await boot(syntheticElf({ class: 32, notes: pvhNote(KERNEL_ADDRESS) }))
    expect([state.mode, state.rip]).toEqual(['protected', BigInt(KERNEL_ADDRESS)])
  })

  it('passes the start info', async () => {
    const { state, view } = await boot(pvhElf(), { initrd: new Uint8Array(100).fill(7) })
    const info = view(Number(state.registers.rbx))
    expect([0, 4, 8, 12].map(at => info.getUint32(at, true))).toEqual([0x336ec578, 1, 0, 1])
    const [modules, commandLine, rsdp, map] = [16, 24, 32, 40].map(at => Number(info.getBigUint64(at, true)))
    expect([cString(view(commandLine)), rsdp]).toEqual(['console=ttyS0', RSDP])
    const module = view(modules)
    expect([0, 8, 16].map(at => Number(module.getBigUint64(at, true)))).toEqual([64 * MIB - 4096, 100, 0])
    const first = view(map)
    expect(info.getUint32(48, true)).toBe(7)
    expect([first.getBigUint64(0, true), first.getBigUint64(8, true), first.getUint32(16, true)]).toEqual([0n, 0x9fc00n, 1])
  })

  it('has no module list without an initrd, nor with an empty one', async () => {
    for (const initrd of [undefined, new Uint8Array(0)]) {
      const { state, view } = await boot(pvhElf(), { initrd })
      const info = view(Number(state.registers.rbx))
      expect([info.getUint32(12, true), info.getBigUint64(16, true)]).toEqual([0, 0n])
    }
  })
})

describe('the choice of entry', () => {
  it('follows the request', async () => {
    const both = syntheticBzImage({ payload: storedLz4Payload(pvhElf()) })
    expect((await boot(both, { entry: 'pvh' })).state.mode).toBe('protected')
    expect((await boot(pvhElf(), { entry: 'linux64' })).state.mode).toBe('long')
  })

  it('knows a Linux without notes by its banner', async () => {
    const bytes = Uint8Array.from('....Linux version 2.6', character => character.charCodeAt(0))
    expect((await boot(syntheticElf({ segments: [{ physical: KERNEL_ADDRESS, bytes }] }))).state.mode).toBe('long')
  })

  it.each<[string, Uint8Array, BootRequest['entry'], RegExp]>([
    ['an ELF that is neither Linux nor PVH', syntheticElf(), 'auto', /neither/],
    ['a 32-bit ELF that is not PVH', syntheticElf({ class: 32 }), 'auto', /neither/],
    ['a 32-bit ELF by the 64-bit protocol', syntheticElf({ class: 32 }), 'linux64', /32-bit/],
    ['an ELF by PVH without a note', linuxElf(), 'pvh', /no PVH entry/],
    ['a bzImage by PVH that only the guest can decompress', syntheticBzImage(), 'pvh', /cannot decompress/],
  ])('refuses %s', async (_, file, entry, message) => {
    await expect(boot(file, { entry })).rejects.toThrow(failing('KERNEL_UNSUPPORTED', message))
  })
})

describe('what does not fit', () => {
  const at = (physical: number, memorySize: number, entry = physical) =>
    syntheticElf({ segments: [{ physical, bytes: Uint8Array.of(0xf4), memorySize }], entry, notes: pvhNote(entry) })

  it.each<[string, Uint8Array, Partial<BootRequest>, string, RegExp]>([
    ['a kernel beyond memory', at(KERNEL_ADDRESS, 49 * MIB), {}, 'MEMORY_TOO_SMALL', /at least 65 MiB .* has 64 MiB/],
    ['a bzImage that unpacks beyond memory', syntheticBzImage({ initSize: 49 * MIB }), {}, 'MEMORY_TOO_SMALL', /65 MiB/],
    ['a kernel in the PCI hole', at(0xb0000000, 4096), {}, 'KERNEL_TOO_LARGE', /0xb0001000/],
    ['a kernel in low memory', at(0x8000, 4096), {}, 'KERNEL_UNSUPPORTED', /below 1 MiB/],
    ['an entry outside the kernel', at(KERNEL_ADDRESS, 4096, 0x500000), {}, 'KERNEL_CORRUPT', /entry 0x500000/],
    ['an initrd larger than what is free', at(KERNEL_ADDRESS, 40 * MIB), { initrd: new Uint8Array(9 * MIB) },
      'INITRD_TOO_LARGE', /9 MiB and 8 MiB are free/],
    ['an initrd larger than memory', linuxElf(), { initrd: new Uint8Array(65 * MIB) }, 'INITRD_TOO_LARGE', /more memory/],
    ['a command line that is too long', linuxElf(), { commandLine: 'x'.repeat(2048) },
      'COMMAND_LINE_TOO_LONG', /2048 bytes .* reads 2047/],
    ['a command line longer than this kernel reads', syntheticBzImage({ commandLineSize: 255 }), { commandLine: 'x'.repeat(256) },
      'COMMAND_LINE_TOO_LONG', /255/],
    ['a command line beyond its area', syntheticBzImage({ commandLineSize: 0xffffffff }), { commandLine: 'x'.repeat(500_000) },
      'COMMAND_LINE_TOO_LONG', /shorten/],
    ['a command line with a NUL', linuxElf(), { commandLine: 'a\0b' }, 'COMMAND_LINE_INVALID', /NUL/],
  ])('%s', async (_, file, request, code, message) => {
    await expect(boot(file, request)).rejects.toThrow(failing(code, message))
  })

  it('takes the longest command line', async () => {
    const { state, view } = await boot(linuxElf(), { commandLine: 'x'.repeat(2047) })
    expect(cString(view(view(Number(state.registers.rsi)).getUint32(0x228, true)))).toHaveLength(2047)
  })
})
