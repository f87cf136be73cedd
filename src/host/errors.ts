import { TenonError } from '../base/errors.ts'

/** What can fail in the host: stable, for programs. Messages say the rest. */
export type HostErrorCode =
  | 'AGENT_COMMAND_FAILED' // the guest's agent says that it could not
  | 'AGENT_PROTOCOL' // what answers is no guest agent
  | 'AGENT_TIMEOUT'
  | 'AGENT_UNAVAILABLE' // none runs in the guest
  | 'ARCHIVE_FORMAT_INVALID' // a .deb, tar or index that is not what it should be
  | 'ARCHIVE_PACKAGE_MISSING' // the index does not list a package that the image needs
  | 'CACHE_DISK_FULL'
  | 'CACHE_LOCKED' // another process holds a lock for too long
  | 'CACHE_UNUSABLE' // the cache folder cannot be read or written
  | 'CODE_UNFIT' // a piece of code that cannot be inspected
  | 'ENGINE_UNKNOWN' // a name of an engine that there is not
  | 'ENGINE_MISSING' // dist/engine.wasm is not there, or is damaged
  | 'COMMAND_INVALID' // nothing that a guest could be told to run
  | 'COPY_FAILED' // between host and guest
  | 'DISK_NOTICE' // a machine's disk has a problem, and goes on
  | 'DISK_THREAD_FAILED' // the thread that serves a machine's disks, or their closing
  | 'DOWNLOAD_FAILED' // the network, or the mirror's answer
  | 'DOWNLOAD_TIMEOUT'
  | 'DOWNLOAD_CORRUPT' // what came has another digest than the signed index says
  | 'FILE_UNREADABLE' // a file that the user named
  | 'FILE_UNWRITABLE'
  | 'GUEST_BOOT_TIMEOUT'
  | 'GUEST_STILL_FROZEN' // its file systems could not be thawed
  | 'GUEST_BUSY' // it runs a command already, or has snapshots taken
  | 'GUEST_DISK_CHANGED' // while the guest was suspended
  | 'GUEST_EXISTS' // a name is taken
  | 'GUEST_DEFINITION_INVALID' // guest.yaml, and where it is wrong
  | 'GUEST_FILES_FULL' // the host's disk, where guests are kept
  | 'GUEST_FILES_UNUSABLE'
  | 'GUEST_IMAGE_UNFIT' // an image that no named guest can have
  | 'GUEST_NAME_INVALID'
  | 'GUEST_NOT_RUNNING'
  | 'GUEST_RUNNING' // what is asked for is for a guest that does not run
  | 'GUEST_UNKNOWN' // there is no guest of this name
  | 'GUEST_CRASHED' // triple fault, or a halt for ever
  | 'GUEST_MEMORY_TOO_SMALL' // for the image
  | 'GUEST_PANIC'
  | 'GUEST_PROTOCOL' // the guest's init sent what no init of ours sends
  | 'GUEST_STOPPED' // the guest ended before its command did
  | 'HOST_PROCESS_ENDING' // the background process takes no more orders
  | 'HOST_PROCESS_FAILED' // it cannot be started, or does not answer
  | 'HOST_PROCESS_REQUEST' // what it is asked makes no sense
  | 'HOST_PROCESS_VERSION' // it is another version of Tenon
  | 'IMAGE_CONFIGURATION_FAILED' // a package's script, in the guest that configures an image
  | 'IMAGE_DEFINITION_INVALID' // a file that says what an image is made of, and where it is wrong
  | 'IMAGE_EXISTS' // another image has the name
  | 'IMAGE_FILES_CONFLICT' // two packages with the same file
  | 'IMAGE_NAME_INVALID'
  | 'IMAGE_TOO_LARGE' // for its disk
  | 'IMAGE_TREE_INVALID' // a path that no image can have
  | 'IMAGE_UNBOOTABLE' // a disk without a root or a kernel that could be found
  | 'IMAGE_UNKNOWN'
  | 'LOCKSTEP_DIVERGED' // translated code did something else than the interpreter
  | 'MACHINE_DISKS_BUSY' // a disk or share that does not answer, or cannot be flushed, when its machine is to stand still
  | 'MACHINE_ENDED' // something asked of a machine that is no more
  | 'MACHINE_FAILED'
  | 'MEMORY_TOO_LARGE'
  | 'NETWORK_DEFINITION_INVALID' // networks/NAME.yaml, and where it is wrong
  | 'NETWORK_NAME_INVALID'
  | 'NETWORK_NOTICE' // a network has a problem, and goes on
  | 'NETWORK_UNFIT' // a network that such a guest cannot have
  | 'NETWORK_THREAD_FAILED' // the thread of a process's networks
  | 'PACKAGES_UNRESOLVABLE' // a package that there is not, or packages that exclude each other
  | 'SEED_INVALID' // keys or user data that cloud-init could not use
  | 'TAP_UNAVAILABLE' // no bridge to the host's network, and what is missing
  | 'SHARE_UNFIT' // a folder that cannot be shared with a guest, or a share that no guest can have
  | 'SHARE_THREAD_FAILED' // the thread that serves a machine's shared folders
  | 'PORT_IN_USE' // a port of the host's that should be published
  | 'PORT_UNAVAILABLE' // it cannot be had for another reason
  | 'SIGNATURE_INVALID' // the archive's index is not signed by a key we trust
  | 'SIGNATURE_EXPIRED' // it is, but is out of date or from the future
  | 'SNAPSHOT_DISK_FULL'
  | 'SNAPSHOT_UNREADABLE'
  | 'SNAPSHOT_UNWRITABLE'
  | 'VSOCK_IN_USE' // another process listens at its path
  | 'VSOCK_THREAD_FAILED' // the thread that serves a machine's vsock
  | 'VSOCK_UNFIT' // a vsock that cannot be

export function hostError(code: HostErrorCode, message: string, cause?: unknown): TenonError<HostErrorCode> {
  return new TenonError(code, message, cause === undefined ? undefined : { cause })
}
