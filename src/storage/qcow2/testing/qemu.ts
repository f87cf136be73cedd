/** QEMU's tools, to check against. Files are passed by a folder of the host's. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { decompress as decompressZstd } from 'fzstd'
import { decompressorsOf } from '../format.ts'
import type { Compress } from '../compressed.ts'
import type { MemoryStore } from '../../testing/memory-file.ts'

export const hasQemu = spawnSync('qemu-img', ['--version']).status === 0 && spawnSync('qemu-io', ['--version']).status === 0

export const decompressors = decompressorsOf({
  decompress: {
    deflate: (bytes, length) => inflateRawSync(bytes, { maxOutputLength: length }),
    zlib: () => { throw new Error('qcow2 has no such data') },
    zstd: (bytes, length) => decompressZstd(bytes, new Uint8Array(length)),
  },
})

/** As QEMU compresses: it reads windows of 4 KiB only. */
export const compress: Compress = cluster => deflateRawSync(cluster, { windowBits: 12, level: 1 })

export class QemuFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'tenon-qcow2-'))

  remove(): void { rmSync(this.path, { recursive: true }) }

  img(...options: readonly string[]): string { return execFileSync('qemu-img', options, { cwd: this.path, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }) }

  /** Commands of qemu-io on an image. */
  io(image: string, ...commands: readonly string[]): void {
    execFileSync('qemu-io', [...commands.flatMap(command => ['-c', command]), image], { cwd: this.path, stdio: ['ignore', 'ignore', 'pipe'] })
  }

  /** Exit status of `qemu-img check`: 0 sound, 2 errors, 3 leaks only; with what it said. */
  check(image: string): { readonly status: number | null, readonly output: string } {
    const { status, stdout, stderr } = spawnSync('qemu-img', ['check', image], { cwd: this.path, encoding: 'utf8' })
    return { status, output: `${stdout}${stderr}` }
  }

  /** The disk's bytes as QEMU reads them. */
  raw(image: string, ...options: readonly string[]): Uint8Array {
    this.img('convert', '-O', 'raw', ...options, image, `${image}.raw`)
    return this.read(`${image}.raw`)
  }

  read(name: string): Uint8Array { return new Uint8Array(readFileSync(join(this.path, name))) }

  write(name: string, bytes: Uint8Array): void { writeFileSync(join(this.path, name), bytes) }

  /** Copies a file of the folder into a store. */
  import(store: MemoryStore, name: string): void { store.setBytes(name, this.read(name)) }

  /** Copies a file of a store into the folder. */
  export(store: MemoryStore, name: string): void { this.write(name, store.bytes(name)) }
}
