"""What stands beside cnnc in a race: how each makes its artifact and is timed, each in a process of its own."""
