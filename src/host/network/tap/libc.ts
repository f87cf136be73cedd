/**
 * What a TAP needs of the C library, by FFI: Node has no ioctl and no poll. Loaded when the first TAP is wanted: the package koffi has its
 * library for many platforms, and where it has none, everything else goes on without.
 */
import { hostError } from '../../errors.ts'

/** A call that failed gives -1, and `errno` the reason. */
export interface Libc {
  open(path: string, flags: number): number
  close(file: number): number
  socket(domain: number, type: number, protocol: number): number
  ioctl(file: number, request: number, argument: Uint8Array): number
  read(file: number, into: Uint8Array, length: number): number
  write(file: number, from: Uint8Array, length: number): number
  eventfd(value: number, flags: number): number
  /** Waits on another thread. `files` are pairs of a descriptor and the events it is watched for (poll(2)). */
  poll(files: Int32Array, timeoutMs: number): Promise<number>
  errno(): number
}

let loading: Promise<Libc> | undefined

/** Rejects with TenonError TAP_UNAVAILABLE. */
export function loadLibc(): Promise<Libc> { return loading ??= load() }

async function load(): Promise<Libc> {
  if (process.platform !== 'linux') {
    throw hostError('TAP_UNAVAILABLE', 'a bridge to the host\'s network needs Linux: take a network of the kind nat, and publish ports')
  }
  const { default: koffi } = await import('koffi').catch((cause: Error) => {
    const problem = `a bridge to the host's network needs the package koffi, which cannot be loaded (${cause.message}): install it`
    throw hostError('TAP_UNAVAILABLE', problem, cause)
  })
  const library = koffi.load(null)
  const poll = library.func('int poll(_Inout_ void *files, unsigned long count, int timeout)')
  return {
    open: library.func('int open(const char *path, int flags)') as Libc['open'],
    close: library.func('int close(int file)') as Libc['close'],
    socket: library.func('int socket(int domain, int type, int protocol)') as Libc['socket'],
    ioctl: library.func('int ioctl(int file, unsigned long request, _Inout_ void *argument)') as Libc['ioctl'],
    read: library.func('long read(int file, _Out_ void *into, unsigned long length)') as Libc['read'],
    write: library.func('long write(int file, const void *from, unsigned long length)') as Libc['write'],
    eventfd: library.func('int eventfd(unsigned int value, int flags)') as Libc['eventfd'],
    poll: (files, timeoutMs) => new Promise((resolve, reject) => {
      poll.async(files, files.length / 2, timeoutMs, (error: Error | null, ready: number) => {
        if (error === null) resolve(ready)
        else reject(error)
      })
    }),
    errno: () => koffi.errno(),
  }
}
