"""What a person looks at of a build: pages of HTML, each one file with its pictures inside."""
