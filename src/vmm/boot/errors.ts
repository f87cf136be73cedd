import { TenonError } from '../../base/errors.ts'

/**
 * Why a kernel cannot be started:
 *
 * - KERNEL_NOT_RECOGNISED: the file is no x86 kernel that this loader knows.
 * - KERNEL_UNSUPPORTED: it is one, but of a kind or for an entry that cannot be started here.
 * - KERNEL_TRUNCATED: the file ends before its own headers say that it does.
 * - KERNEL_CORRUPT: its headers or its compressed payload contradict themselves.
 * - KERNEL_TOO_LARGE: no machine could hold it below the PCI hole.
 * - MEMORY_TOO_SMALL: this machine cannot hold it; more memory helps.
 * - INITRD_TOO_LARGE: the initrd does not fit beside the kernel.
 * - COMMAND_LINE_TOO_LONG, COMMAND_LINE_INVALID: longer than the kernel reads, or with a NUL in it.
 */
export type BootErrorCode =
  | 'KERNEL_NOT_RECOGNISED' | 'KERNEL_UNSUPPORTED' | 'KERNEL_TRUNCATED' | 'KERNEL_CORRUPT' | 'KERNEL_TOO_LARGE'
  | 'MEMORY_TOO_SMALL' | 'INITRD_TOO_LARGE' | 'COMMAND_LINE_TOO_LONG' | 'COMMAND_LINE_INVALID'

export function bootError(code: BootErrorCode, message: string, cause?: unknown): TenonError<BootErrorCode> {
  return new TenonError(code, message, cause === undefined ? undefined : { cause })
}

/** A size for people: whole MiB, rounded up, or bytes below one. */
export function formatSize(bytes: number): string {
  return bytes < 1024 ** 2 ? `${bytes} bytes` : `${Math.ceil(bytes / 1024 ** 2)} MiB`
}
