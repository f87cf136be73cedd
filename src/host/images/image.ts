/** What a machine needs to boot an image. */
export interface BootImage {
  readonly name: string
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
  /** What the image wants on the kernel's command line, beside what a session puts there. */
  readonly commandLine: string
  /** Bytes of RAM below which it does not boot. */
  readonly minimumMemory: number
}
