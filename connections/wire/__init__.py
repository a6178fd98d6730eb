"""Everything that touches a network: the guard, SSH, SFTP, HTTP and their errors."""
