import { TenonError } from '../base/errors.ts'

/** What can fail in the host: stable, for programs. Messages say the rest. */
export type HostErrorCode =
  | 'ARCHIVE_FORMAT_INVALID' // a .deb, tar or index that is not what it should be
  | 'ARCHIVE_PACKAGE_MISSING' // the index does not list a package that the image needs
  | 'CACHE_DISK_FULL'
  | 'CACHE_LOCKED' // another process holds the cache for too long
  | 'CACHE_UNUSABLE' // the cache folder cannot be read or written
  | 'CODE_UNFIT' // a piece of code that cannot be inspected
  | 'ENGINE_UNKNOWN' // a name of an engine that there is not
  | 'ENGINE_MISSING' // dist/engine.wasm is not there, or is damaged
  | 'COMMAND_INVALID' // nothing that a guest could be told to run
  | 'DISK_NOTICE' // a machine's disk has a problem, and goes on
  | 'DISK_THREAD_FAILED' // the thread that serves a machine's disks, or their closing
  | 'DOWNLOAD_FAILED' // the network, or the mirror's answer
  | 'DOWNLOAD_TIMEOUT'
  | 'DOWNLOAD_CORRUPT' // what came has another digest than the signed index says
  | 'FILE_UNREADABLE' // a file that the user named
  | 'GUEST_BOOT_TIMEOUT'
  | 'GUEST_BUSY' // it runs a command already
  | 'GUEST_CRASHED' // triple fault, or a halt for ever
  | 'GUEST_MEMORY_TOO_SMALL' // for the image
  | 'GUEST_PANIC'
  | 'GUEST_PROTOCOL' // the guest's init sent what no init of ours sends
  | 'GUEST_STOPPED' // the guest ended before its command did
  | 'IMAGE_CONFIGURATION_FAILED' // a package's script, in the guest that configures an image
  | 'IMAGE_DEFINITION_INVALID' // a file that says what an image is made of, and where it is wrong
  | 'IMAGE_FILES_CONFLICT' // two packages with the same file
  | 'IMAGE_TOO_LARGE' // for its disk
  | 'IMAGE_TREE_INVALID' // a path that no image can have
  | 'IMAGE_UNKNOWN'
  | 'LOCKSTEP_DIVERGED' // translated code did something else than the interpreter
  | 'MACHINE_FAILED'
  | 'MEMORY_TOO_LARGE'
  | 'PACKAGES_UNRESOLVABLE' // a package that there is not, or packages that exclude each other
  | 'PORT_IN_USE' // a port of the host's that should be published
  | 'PORT_UNAVAILABLE' // it cannot be had for another reason
  | 'SIGNATURE_INVALID' // the archive's index is not signed by a key we trust
  | 'SIGNATURE_EXPIRED' // it is, but is out of date or from the future

export function hostError(code: HostErrorCode, message: string, cause?: unknown): TenonError<HostErrorCode> {
  return new TenonError(code, message, cause === undefined ? undefined : { cause })
}
