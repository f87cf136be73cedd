/** What the program is, above the list of its commands. */
export const DESCRIPTION = `Boots unmodified 64-bit Linux in a virtual machine, anywhere Node.js runs.

Without arguments: a root shell in a fresh Debian guest, in this terminal. Ctrl-A x quits, Ctrl-A h helps.`

/** What people type, and what everything else of the surroundings does. */
export const EXAMPLES = `
Examples:
  tenon                                        a shell in a fresh guest
  tenon run -- uname -rm                       one command; its output and exit status are ours
  echo 'hello' | tenon run -- sha256sum        with stdin
  tenon run --tty -- top                       one command in this terminal
  tenon run --memory 1G --verbose -- free -m   more memory; the kernel's log on stderr
  tenon run --disk data.img -- fdisk -l        with a disk: a file of the host
  tenon run --disk data.img,bus=scsi,iops=500 debian:12   on another bus, with a limit
  tenon run --share ./src:/src -- ls /src      with a folder of the host
  tenon run --publish 8080:80 -- httpd -f      the guest's port 80 is the host's 8080
  tenon run --kernel bzImage --initrd initrd.img --append "console=ttyS0"
  tenon run --memory 1G debian:12              Debian with systemd, apt and SSH, on a disk; web.yaml: one of your own
  tenon run --name web debian:12               one that keeps its disk, in the background: see start, stop, console, rm
  tenon run --ssh-key id.pub debian:12         and who may log in; also --user-data, --hostname
  tenon disk create data.qcow2 --size 10G      virtual disks: see tenon disk --help
  tenon image import disk.qcow2 --name my:1    images of disks: see tenon image --help
  tenon exec web -- systemctl status           a command in the guest web, by its guest agent
  tenon cp site web:/var/www                   a folder into it; web:/etc/motd . back
  tenon pull                                   fetch the image's newest packages
  tenon inspect code                           what hot guest code becomes

Exit status:
  the command's own; 128 + n if signal n killed it
  125  Tenon itself failed: a line on stderr says why, with a code
  126  the command cannot be executed
  127  the command was not found
  130  interrupted by Ctrl-C

Environment:
  TENON_CACHE                          where images are kept (default: the user's cache folder)
  TENON_HOME                           where named guests are kept (default: the user's data folder)
  TENON_MIRROR                         the Debian mirror, as --mirror
  TENON_DEBUG                          if set, errors show where in Tenon they come from
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY    the way to the network`
