/** Outside programs that tests compare with, and disks as files for them. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { MemoryStore } from './memory-file.ts'

export function isInstalled(command: string): boolean {
  const { error } = spawnSync(command, ['--version'])
  if (error !== undefined) console.warn(`${command} is not installed: what is compared with it is skipped`)
  return error === undefined
}

/** A folder that is gone after the test. */
export class ToolFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'tenon-disk-'))

  constructor() { onTestFinished(() => rmSync(this.path, { recursive: true, force: true })) }

  at(name: string): string { return join(this.path, name) }

  /** Runs a program in the folder and returns what it says; throws if it fails. */
  run(command: string, ...options: string[]): string {
    const { status, stdout, stderr, error } = spawnSync(command, options, { cwd: this.path, encoding: 'utf8', maxBuffer: 64 << 20 })
    if (error !== undefined || status !== 0) throw new Error(`${command} ${options.join(' ')}: ${error?.message ?? ''}${stdout}${stderr}`)
    return stdout + stderr
  }

  write(name: string, bytes: Uint8Array): void { writeFileSync(this.at(name), bytes) }

  read(name: string): Uint8Array { return new Uint8Array(readFileSync(this.at(name))) }

  /** Copies a file of a store into the folder. */
  take(store: MemoryStore, name: string): void { this.write(name, store.bytes(name)) }

  /** Copies a file of the folder into a store. */
  give(store: MemoryStore, name: string): void { store.setBytes(name, this.read(name)) }
}
