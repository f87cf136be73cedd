import { describe, expect, it, vi } from 'vitest'
import { ByteWriter } from '../firmware/byte-writer.ts'
import { openKernel } from './kernel-image.ts'
import type { Compression } from './payload.ts'
import { storedLz4Payload, syntheticBzImage, syntheticElf } from './testing/synthetic-kernels.ts'

const ascii = (text: string) => new ByteWriter().bytes(Array.from(text, character => character.charCodeAt(0))).toBytes()
const failing = (code: string, message = /./) => expect.objectContaining({ code, message: expect.stringMatching(message) })

function fileWith(offset: number, mark: string): Uint8Array {
  const file = new Uint8Array(0x9000)
  file.set(ascii(mark), offset)
  return file
}

describe('openKernel', () => {
  it('takes a vmlinux as it is', async () => {
    const file = syntheticElf()
    const kernel = await openKernel(file)
    expect([kernel.header, kernel.elf?.entry]).toEqual([undefined, 0x1000000])
  })

  it('decompresses a bzImage\'s LZ4 payload', async () => {
    const vmlinux = syntheticElf()
    const kernel = await openKernel(syntheticBzImage({ payload: storedLz4Payload(vmlinux) }))
    expect(kernel.compression).toBe('lz4')
    expect(kernel.elf!.file).toEqual(vmlinux)
    expect(kernel.header!.loadAddress).toBe(0x1000000)
  })

  it.each<[Compression, number[], number]>([
    ['gzip', [0x1f, 0x8b, 8, 0], 0],
    ['bzip2', [0x42, 0x5a, 0x68, 0x39], 4],
    ['lzma', [0x5d, 0, 0, 0], 4],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], 4],
    ['lzo', [0x89, 0x4c, 0x5a, 0x4f, 0], 4],
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd], 4],
  ])('hands %s to the host without the size behind it', async (compression, magic, appended) => {
    const vmlinux = syntheticElf()
    const payload = new ByteWriter().bytes(magic).zeros(20).u32(vmlinux.length).toBytes()
    const decompress = vi.fn(async () => vmlinux)
    const kernel = await openKernel(syntheticBzImage({ payload }), { [compression]: decompress })
    expect(decompress).toHaveBeenCalledWith(payload.subarray(0, payload.length - appended), vmlinux.length)
    expect(kernel.elf!.file).toBe(vmlinux)
  })

  it('leaves to the guest what it cannot decompress, or what is no ELF', async () => {
    const xz = new ByteWriter().bytes([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]).zeros(20).toBytes()
    const flat = storedLz4Payload(ascii('flat'))
    for (const [payload, compression] of [[xz, 'xz'], [flat, 'lz4'], [undefined, undefined]] as const) {
      const kernel = await openKernel(syntheticBzImage({ payload }))
      expect([kernel.compression, kernel.elf]).toEqual([compression, undefined])
      expect(kernel.header).toBeDefined()
    }
  })

  it.each([
    ['a payload that claims gigabytes', new ByteWriter().u32(0x184c2102).u32(0).u32(0xffffffff).toBytes()],
    ['a payload of another size than it claims', new ByteWriter().u32(0x184c2102).u32(2).bytes([0x10, 1]).u32(9).toBytes()],
    ['a payload of a few bytes', new ByteWriter().u32(0x184c2102).toBytes()],
  ])('refuses %s', async (_, payload) => {
    await expect(openKernel(syntheticBzImage({ payload }))).rejects.toThrow(failing('KERNEL_CORRUPT', /lz4 payload/i))
  })

  it('keeps what a decompressor says as the cause', async () => {
    const payload = new ByteWriter().bytes([0x1f, 0x8b, 8]).zeros(9).toBytes()
    const cause = new Error('bad block')
    await expect(openKernel(syntheticBzImage({ payload }), { gzip: () => { throw cause } }))
      .rejects.toThrow(expect.objectContaining({ code: 'KERNEL_CORRUPT', cause }))
  })

  it.each([
    ['an old protocol', syntheticBzImage({ version: 0x205 }), 'KERNEL_UNSUPPORTED', /2\.5/],
    ['a 32-bit kernel', syntheticBzImage({ xloadflags: 0 }), 'KERNEL_UNSUPPORTED', /64-bit/],
    ['a load address in low memory', syntheticBzImage({ loadAddress: 0x1000 }), 'KERNEL_CORRUPT', /load address/],
    ['a cut header', syntheticBzImage().slice(0, 0x260), 'KERNEL_TRUNCATED', /608 bytes/],
    ['a cut file', syntheticBzImage().slice(0, -1), 'KERNEL_TRUNCATED', /fetch/],
    ['an empty file', new Uint8Array(0), 'KERNEL_NOT_RECOGNISED', /empty/],
    ['text', ascii('#!/bin/sh\necho hello\n'), 'KERNEL_NOT_RECOGNISED', /bzImage/],
    ['a compressed file', Uint8Array.of(0x1f, 0x8b, 8, 0), 'KERNEL_NOT_RECOGNISED', /gzip/],
    ['an AArch64 kernel', fileWith(0x38, 'ARM\x64'), 'KERNEL_NOT_RECOGNISED', /AArch64/],
    ['a disk image', fileWith(0, 'QFI\xfb'), 'KERNEL_NOT_RECOGNISED', /qcow2/],
    ['a CD image', fileWith(0x8001, 'CD001'), 'KERNEL_NOT_RECOGNISED', /CD image/],
    ['a package', fileWith(0, '!<arch>\n'), 'KERNEL_NOT_RECOGNISED', /package/],
  ])('refuses %s', async (_, file, code, message) => {
    await expect(openKernel(file)).rejects.toThrow(failing(code, message))
  })
})
