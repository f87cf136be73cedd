/** The library's types. They need neither Node's types nor the DOM's, but for `AbortSignal`. */
import type { CpuModel } from '../host/machine/cpu-models.ts'
import type { EngineName } from '../host/machine/engines.ts'
import type { ProgressListener } from '../host/images/progress.ts'

/** What a machine is started with. */
export interface MachineOptions {
  /** The image to boot: `busybox`, a Debian kernel with BusyBox, is the default and the only one. */
  readonly image?: string
  /** A kernel of your own instead (a bzImage, or a vmlinux with a PVH note): the path of its file, or its bytes. */
  readonly kernel?: string | Uint8Array
  /** The initial RAM disk of that kernel: the path of its file, or its bytes. */
  readonly initrd?: string | Uint8Array
  /** More for an image's kernel command line; with `kernel`, all of it (default `console=ttyS0`). */
  readonly append?: string
  /** RAM: bytes, or text such as `256M` or `2G`. A multiple of 1 MiB; default `512M`. */
  readonly memory?: number | string
  /** Which features the processor has: a level of the x86-64 ABI, or `max`, the default. */
  readonly cpu?: CpuModel
  /** How guest code is run: `interpret`, `translate` (what is hot becomes WebAssembly), or `auto`, the default, which translates. */
  readonly engine?: EngineName
  /**
   * Have the interpreter check all that translated code does, many times slower. At the first difference the machine ends with the reason
   * `failed`, the code LOCKSTEP_DIVERGED and a report. Not with the engine `interpret`. Default false.
   */
  readonly lockstep?: boolean
  /** Whether an image's kernel tells its log on the console. Default false. */
  readonly verbose?: boolean
  /** How long an image may take to boot, in milliseconds; 0 for no limit. Default 300,000; with `lockstep` 0. */
  readonly bootTimeoutMs?: number
  /** Where images are kept. Default: TENON_CACHE, or the user's cache folder. */
  readonly cache?: string
  /** The base URL of a Debian mirror to fetch packages from. */
  readonly mirror?: string
  /** Called while packages are fetched and an image is built: once, at its first use. */
  readonly onProgress?: ProgressListener
  /** Aborting stops the start, or kills the machine. */
  readonly signal?: AbortSignal
}

/** A machine's console: its first serial line. */
export interface MachineConsole extends AsyncIterable<Uint8Array> {
  /** Types text, or sends bytes. Resolves when the guest has taken them. */
  write(data: string | Uint8Array): Promise<void>
  /**
   * What the guest writes, to its end. It can be read once. What nobody reads is kept, 256 KiB of it; with more the guest waits, and
   * once reading was broken off, nothing is kept any more.
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array>
}

/** Somewhere for output to go: any writable stream of Node's, such as `process.stdout`. */
export interface OutputStream {
  readonly destroyed: boolean
  write(chunk: Uint8Array): boolean
  once(event: 'drain' | 'close', listener: () => void): unknown
}

/** What a command is run with. */
export interface RunOptions {
  /** Its standard input: text, bytes, or a stream of either. Default: empty. */
  readonly stdin?: string | Uint8Array | AsyncIterable<string | Uint8Array>
  /** More environment variables. */
  readonly env?: Readonly<Record<string, string>>
  /** Where its output goes, instead of into the result. The command waits while a stream is full. */
  readonly stdout?: OutputStream
  readonly stderr?: OutputStream
  /** How many bytes of output the result takes, of each kind. Default 16 MiB. */
  readonly maxOutput?: number
}

/** How a command ended. */
export interface RunResult {
  /** Its exit status; 128 + n if signal n killed it, 126 if it cannot be executed, 127 if it was not found. */
  readonly status: number
  /** Its output, read as UTF-8; empty if it went to a stream. */
  readonly stdout: string
  readonly stderr: string
}
